"""The networks of an app: its own, and the one on which the edge reaches it."""

from slot_machine.engines.swarm import names
from slot_machine.engines.swarm.docker import Docker, options
from slot_machine.engines.swarm.edge import Edge


def make_networks(docker: Docker, app: str) -> None:
    """Those that are missing. A release command runs before the stack's first deploy, which would make its own one."""
    Edge(docker.client).network()
    own = names.network(app)
    if own in docker.lines("network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}"):
        return
    labels = options("--label", {names.STACK: app, names.APP: app})
    answer = docker.client.attempt("network", "create", "--driver", "overlay", *labels, own)
    if answer.code and "already exists" not in answer.err:
        raise docker.client.failure("network create", answer)
