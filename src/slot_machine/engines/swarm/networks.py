"""The networks of an app: its own, and the one on which the edge reaches it."""

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.swarm import labels, names
from slot_machine.engines.swarm.docker import Docker, options


def make_networks(docker: Docker, app: str) -> None:
    """Those that are missing. A release command runs before the stack's first deploy, which would make its own one."""
    names_of = docker.lines("network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}")
    own = names.network(app)
    if own not in names_of:
        _make(docker, own, options("--label", {names.STACK: app, names.APP: app}))
    if labels.NETWORK not in names_of:
        _make(docker, labels.NETWORK, ["--attachable"])


def _make(docker: Docker, name: str, words: list[str]) -> None:
    answer = docker.client.attempt("network", "create", "--driver", "overlay", *words, name)
    if answer.code and "already exists" not in answer.err:
        raise EngineFailed(f"the network {name} can't be made: {answer.err.strip()}", "see `engine check`")
