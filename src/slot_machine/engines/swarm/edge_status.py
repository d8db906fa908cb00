"""What is known of a swarm's edge: where it runs, and which service answers for which host. Pure."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from slot_machine.engines.shape import App
from slot_machine.engines.swarm import labels
from slot_machine.engines.swarm.answers import ServiceSpec
from slot_machine.engines.swarm.edge_files import ACME, API, STACK, TRAEFIK


class Listed(msgspec.Struct, frozen=True, rename="pascal"):
    """A task as `docker stack ps` lists it, by `FORM`."""

    id: str
    name: str
    node: str
    state: str
    error: str


FORM = (
    '{"Id":{{json .ID}},"Name":{{json .Name}},"Node":{{json .Node}},'
    '"State":{{json .CurrentState}},"Error":{{json .Error}}}'
)


class Task(msgspec.Struct, frozen=True):
    """As the edge's status has it. `service` is `traefik` or `api`; `state` is such as `Running 5 minutes ago`."""

    service: str = ""
    node: str = ""
    state: str = ""
    error: str = ""
    id: str = ""

    @property
    def runs(self) -> bool:
        return self.state.startswith("Running")

    @property
    def failed(self) -> bool:
        return self.state.startswith(("Rejected", "Failed"))


def task_of(line: str) -> Task:
    """Raises MsgspecError."""
    listed = msgspec.json.decode(line, type=Listed)
    # Earlier tasks of the same place are indented.
    service = listed.name.rpartition(f"{STACK}_")[2].partition(".")[0]
    return Task(service, listed.node, listed.state, listed.error.strip('"'), listed.id)


class Domain(msgspec.Struct, frozen=True):
    """`host` is `*` for a service that answers for any. `also`: other services that answer for it, which is wrong."""

    host: str
    service: str
    maintenance: bool
    also: tuple[str, ...] = ()


class EdgeStatus(msgspec.Struct, frozen=True):
    """`nodes` are those that should have it; `orders`: whether it gets certificates itself."""

    image: str
    nodes: list[str]
    orders: bool
    tasks: list[Task]
    domains: list[Domain]

    @property
    def well(self) -> bool:
        running = {task.node for task in self.tasks if task.service == TRAEFIK and task.runs}
        asks = any(task.service == API and task.runs for task in self.tasks)
        return bool(self.image) and asks and set(self.nodes) <= running and not any(each.also for each in self.domains)


def domains(services: Sequence[ServiceSpec]) -> Iterator[Domain]:
    """By their names."""
    having: dict[str, list[ServiceSpec]] = {}
    for service in services:
        for host in labels.claims(service.labels or {}):
            having.setdefault(host, []).append(service)
    for host, (first, *others) in sorted(having.items()):
        paused = labels.MAINTENANCE in (first.labels or {}).values()
        yield Domain(host, first.name, paused, tuple(other.name for other in others))


def lacking(app: App, services: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Warnings before a deploy: what the edge can't do for the app. `services`: the labels of each of the swarm."""
    edge = services.get(f"{STACK}_{TRAEFIK}")
    if edge is None:
        return ["the swarm has no edge, so nobody reaches the app: `slot-machine edge install` makes one"]
    if edge.get(ACME) == "no" and app.daemon.domains and app.daemon.tls == "acme":
        return ["`tls`: the edge is on several nodes, so it gets no certificates: name your own in edge.json"]
    return []
