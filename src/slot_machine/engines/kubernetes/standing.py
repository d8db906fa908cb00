"""What runs in the cluster: which version is live, and each of its copies."""

from collections.abc import Sequence

from slot_machine.engines.engine import Copy, Live, Status
from slot_machine.engines.kubernetes import names, reasons, seen
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.present import is_maintained
from slot_machine.engines.kubernetes.seen import Deployment, Pod

NO_COPIES = (names.RELEASING, names.RUN, names.CRON)
"""Pods of Jobs."""


def live(cluster: Cluster) -> Live | None:
    """Of the copies that get requests. A rollout that a dead computer has left is not live while others still are.

    Raises EngineFailed.
    """
    web = f"{cluster.selector},{names.PROCESS}={names.WEB}"
    found = cluster.listed("deployments", Deployment, web)
    if not found:
        return None
    sets = cluster.listed("replicasets", Deployment, web)
    return _live(found[0], sets, maintenance=_maintenance(cluster))


def status(cluster: Cluster) -> Status:
    """Raises EngineFailed."""
    deployments = cluster.listed("deployments", Deployment)
    sets = cluster.listed("replicasets", Deployment)
    pods = [pod for pod in cluster.listed("pods", Pod) if pod.label(names.PROCESS) not in NO_COPIES]
    web = next((found for found in deployments if found.process == names.WEB), None)
    return Status(
        live=_live(web, sets, maintenance=_maintenance(cluster)) if web else None,
        wanted={found.process: found.spec.replicas for found in deployments},
        copies=[_copy(pod) for pod in sorted(pods, key=lambda pod: (pod.label(names.PROCESS) != names.WEB, pod.name))],
        updating=not all(found.complete for found in deployments),
        notes=tuple(_notes(deployments)),
    )


def _live(web: Deployment, sets: Sequence[Deployment], *, maintenance: bool) -> Live:
    """A ReplicaSet has the labels of its pods."""
    ready = [found for found in sets if found.process == names.WEB and found.status.ready_replicas]
    ready.sort(key=lambda found: (_release(found) != _release(web), -found.status.ready_replicas))
    one = ready[0] if ready else web
    digest = one.spec.template.metadata.annotations.get(names.ENV_DIGEST, "")
    return Live(one.label(names.COMMIT), _release(one), digest, maintenance)


def _release(found: Deployment | Pod) -> int:
    text = found.label(names.RELEASE)
    return int(text) if text.isdecimal() else 0


def _maintenance(cluster: Cluster) -> bool:
    return any(map(is_maintained, cluster.listed("services", seen.Service)))


def _copy(pod: Pod) -> Copy:
    trouble = reasons.of(pod)
    started = pod.container.state.running
    return Copy(
        id=pod.name,
        process=pod.label(names.PROCESS),
        commit=pod.label(names.COMMIT),
        state=_state(pod),
        node=pod.spec.node_name,
        since=started.started_at if started else pod.status.start_time,
        healthy=pod.ready,
        error=trouble.words if trouble and not pod.ready else "",
        # One that ends is no part of what should run.
        release=0 if pod.ending else _release(pod),
    )


def _state(pod: Pod) -> str:
    if pod.ending:
        return "ending"
    if pod.container.state.waiting:
        return "starting"
    if pod.container.state.running:
        return "running" if pod.ready else "unhealthy"
    return pod.status.phase.lower()


def _notes(deployments: Sequence[Deployment]) -> list[str]:
    notes = [f"the rollout of {found.name} is paused" for found in deployments if found.spec.paused]
    for found in deployments:
        refused = found.condition("ReplicaFailure")
        if refused and refused.status == "True":
            notes.append(f"the cluster makes no pod of {found.name}: {refused.message}")
    return notes
