"""What the API of Docker says of services, tasks, nodes and configs: the parts that are used here.

Names are those of https://docs.docker.com/reference/api/engine/. A field that is missing or null has its default.
"""

import base64

import msgspec

from slot_machine.engines.swarm import names


class _Answer(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    pass


class SecretReference(_Answer, frozen=True):
    secret_name: str = ""


class ContainerSpec(_Answer, frozen=True):
    image: str = ""
    labels: dict[str, str] | None = None
    secrets: list[SecretReference] | None = None


class TaskSpec(_Answer, frozen=True):
    container_spec: ContainerSpec = ContainerSpec()


class Replicated(_Answer, frozen=True):
    replicas: int = 1


class Mode(_Answer, frozen=True):
    replicated: Replicated | None = None


class ServiceSpec(_Answer, frozen=True):
    name: str = ""
    labels: dict[str, str] | None = None
    task_template: TaskSpec = TaskSpec()
    mode: Mode = Mode()

    def label(self, name: str) -> str:
        return (self.labels or {}).get(name, "")

    @property
    def release(self) -> int:
        """0 if it is none of ours."""
        return _number(self.labels)

    @property
    def replicas(self) -> int:
        return self.mode.replicated.replicas if self.mode.replicated else 0


class UpdateStatus(_Answer, frozen=True):
    state: str = ""
    message: str = ""


class Service(_Answer, frozen=True):
    id: str = msgspec.field(name="ID")
    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    update_status: UpdateStatus | None = None

    @property
    def state(self) -> str:
        """Of its latest update: `updating`, `completed`, `paused`, `rollback_started` and so on. Empty without one."""
        return self.update_status.state if self.update_status else ""

    @property
    def process(self) -> str:
        return self.spec.label(names.PROCESS)

    @property
    def is_job(self) -> bool:
        return bool(self.spec.label(names.ENDS))

    @property
    def live_spec(self) -> ServiceSpec:
        """What an update in progress, or one that has stopped halfway, came from."""
        if self.state in ("updating", "paused") and self.previous_spec and self.previous_spec.release:
            return self.previous_spec
        return self.spec


class ContainerStatus(_Answer, frozen=True):
    container_id: str = msgspec.field(name="ContainerID", default="")
    exit_code: int = 0


class TaskStatus(_Answer, frozen=True):
    timestamp: str = ""
    state: str = ""
    err: str = ""
    container_status: ContainerStatus | None = None


class Task(_Answer, frozen=True):
    id: str = msgspec.field(name="ID")
    service_id: str = msgspec.field(name="ServiceID")
    node_id: str = msgspec.field(name="NodeID", default="")
    slot: int = 0
    created_at: str = ""
    spec: TaskSpec = TaskSpec()
    status: TaskStatus = TaskStatus()
    desired_state: str = ""

    @property
    def commit(self) -> str:
        return (self.spec.container_spec.labels or {}).get(names.COMMIT, "")

    @property
    def release(self) -> int:
        return _number(self.spec.container_spec.labels)

    @property
    def wanted(self) -> bool:
        """Whether the engine keeps it, or brings it up."""
        return self.desired_state in ("running", "ready", "accepted")

    @property
    def runs(self) -> bool:
        """Its check has passed, too: before, its state is `starting`."""
        return self.status.state == "running" and self.desired_state == "running"

    @property
    def ended(self) -> bool:
        """By itself, or it could not start. One that the engine has ended is `shutdown`."""
        return self.status.state in ("failed", "rejected", "complete")

    @property
    def container(self) -> str:
        """Its id on the node."""
        return self.status.container_status.container_id if self.status.container_status else ""

    @property
    def exit_code(self) -> int:
        return self.status.container_status.exit_code if self.status.container_status else 0


class NodeSpec(_Answer, frozen=True):
    labels: dict[str, str] | None = None
    role: str = ""
    availability: str = ""


class Platform(_Answer, frozen=True):
    architecture: str = ""
    os: str = msgspec.field(name="OS", default="")


class EngineDescription(_Answer, frozen=True):
    engine_version: str = ""


class Description(_Answer, frozen=True):
    hostname: str = ""
    platform: Platform = Platform()
    engine: EngineDescription = EngineDescription()


class NodeStatus(_Answer, frozen=True):
    state: str = ""
    addr: str = ""


class Node(_Answer, frozen=True):
    id: str = msgspec.field(name="ID")
    spec: NodeSpec = NodeSpec()
    description: Description = Description()
    status: NodeStatus = NodeStatus()

    @property
    def name(self) -> str:
        return self.description.hostname or self.id

    @property
    def labels(self) -> dict[str, str]:
        return self.spec.labels or {}

    @property
    def takes_tasks(self) -> bool:
        return self.status.state == "ready" and self.spec.availability == "active"


class ConfigSpec(_Answer, frozen=True):
    name: str = ""
    labels: dict[str, str] | None = None
    data: str = ""

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.data)


class Config(_Answer, frozen=True):
    """A config or a secret. A secret's data is never answered."""

    id: str = msgspec.field(name="ID")
    spec: ConfigSpec = ConfigSpec()


def _number(labels: dict[str, str] | None) -> int:
    number = (labels or {}).get(names.RELEASE, "")
    return int(number) if number.isdecimal() else 0
