"""What machines the cluster has."""

import msgspec

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.kubernetes import seen
from slot_machine.engines.kubernetes.cluster import Cluster

PASSING = "node.kubernetes.io/"
"""Taints of a node that is drained, not ready or short of something begin with it."""


class Taint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    key: str = ""
    effect: str = ""


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    taints: tuple[Taint, ...] = ()


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    architecture: str = ""
    operating_system: str = ""


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    node_info: NodeInfo = NodeInfo()
    conditions: tuple[seen.Condition, ...] = ()


class Node(seen.Named, frozen=True, kw_only=True, rename="camel"):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def takes_pods(self) -> bool:
        """At some time: one that is drained or not ready comes back."""
        lasting = [taint for taint in self.spec.taints if not taint.key.startswith(PASSING)]
        blocked = any(taint.effect in ("NoSchedule", "NoExecute") for taint in lasting)
        return self.status.node_info.operating_system == "linux" and not blocked


def platforms(cluster: Cluster) -> tuple[str, ...]:
    """Of all nodes that may run the app, such as `linux/amd64`. Empty if we may not ask for nodes.

    Raises EngineFailed if no node takes pods.
    """
    try:
        nodes = cluster.everyone("nodes", Node)
    except EngineFailed as error:
        if "Forbidden" in str(error):
            return ()
        raise
    found = {f"linux/{node.status.node_info.architecture}" for node in nodes if node.takes_pods}
    if not found:
        raise EngineFailed("no node of the cluster takes pods", "`kubectl get nodes` shows them and their taints")
    return tuple(sorted(found))
