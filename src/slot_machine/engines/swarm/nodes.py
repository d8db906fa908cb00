"""The machines of a swarm: which ones may run an app, and the labels that say so."""

import re
from collections.abc import Iterable, Mapping, Sequence

from slot_machine.core.errors import EngineFailed, Impossible
from slot_machine.engines.swarm import names
from slot_machine.engines.swarm.answers import Node
from slot_machine.engines.swarm.docker import Docker
from slot_machine.engines.swarm.stack import YES

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6", "i686": "386"}
"""What a node says of itself, and what an image's platform calls that."""
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def platform(node: Node) -> str:
    """Such as `linux/amd64`."""
    described = node.description.platform
    return f"{described.os}/{ARCHITECTURES.get(described.architecture, described.architecture)}"


def able(nodes: Iterable[Node]) -> list[Node]:
    """Those that get tasks now. Raises EngineFailed if there is none."""
    if not (found := [node for node in nodes if node.takes_tasks]):
        raise EngineFailed("no node of the swarm takes tasks", "`docker node ls` shows why: Down, Drain or Pause")
    return found


def place(name: str, places: Mapping[str, str]) -> str:
    """Where ssh reaches the node; `places` are those of the configuration.

    A node says its name itself: ssh must not take it for an option. Raises EngineFailed.
    """
    if name not in places and not HOST.fullmatch(name):
        raise EngineFailed(f"the node {name!r} has a name that can't be a host's", "engine.nodes says where it is")
    return places.get(name, name)


def holder(nodes: Iterable[Node], app: str) -> Node | None:
    """The node that has the app's local volume. Raises Impossible if it is away, or if there are several."""
    found = [node for node in nodes if node.labels.get(names.data_label(app)) == YES]
    if len(found) > 1:
        what = f"several nodes have the label {names.data_label(app)}: {', '.join(node.name for node in found)}"
        raise Impossible(what, "remove it from all but the one with the data: `docker node update --label-rm`")
    if found and not found[0].takes_tasks:
        node = found[0]
        raise Impossible(
            f"the data of shared_dirs is on {node.name}, a node which is {node.status.state}, {node.spec.availability}",
            "bring that node back. If it is lost, restore a backup on another node and give that one the label"
            f" {names.data_label(app)}={YES}",
        )
    return found[0] if found else None


def pin(docker: Docker, nodes: Sequence[Node], app: str) -> None:
    """Chooses the node for the app's local volume, once and for all: elsewhere the volume would be empty."""
    if not holder(nodes, app):
        chosen = min(able(nodes), key=lambda node: (node.spec.role == "manager", node.name))
        _label(docker, chosen, f"{names.data_label(app)}={YES}")


def has_image(docker: Docker, nodes: Iterable[Node], app: str, commit: str) -> None:
    """Lets these nodes run that commit."""
    label = names.image_label(app, commit)
    for node in nodes:
        if node.labels.get(label) != YES:
            _label(docker, node, f"{label}={YES}")


def forget_images(docker: Docker, app: str, commits: Iterable[str]) -> None:
    """All but those of these commits."""
    needed = {names.image_label(app, commit) for commit in commits}
    prefix = names.image_label(app, "")
    for node in docker.nodes():
        gone = [label for label in node.labels if label.startswith(prefix) and label not in needed]
        gone = [label for label in gone if "-" not in label.removeprefix(prefix)]
        if gone:
            options = [word for label in gone for word in ("--label-rm", label)]
            docker.change("node", "update", *options, node.id)


def _label(docker: Docker, node: Node, label: str) -> None:
    docker.change("node", "update", "--label-add", label, node.id)
