"""What a cluster says of its objects: the fields that we read, of those that kubectl prints."""

from typing import TypeVar

import msgspec

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.kubernetes import names

T = TypeVar("T")


class Owner(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    kind: str = ""
    name: str = ""


class Managed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which fields a manager has applied or changed."""

    manager: str = ""
    operation: str = ""
    fields: dict[str, object] = msgspec.field(default={}, name="fieldsV1")


class Meta(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    resource_version: str = ""
    owner_references: tuple[Owner, ...] = ()
    managed_fields: tuple[Managed, ...] = ()


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class Template(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: Meta = Meta()


class DeploymentSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    replicas: int = 1
    paused: bool = False
    template: Template = Template()


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class Named(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: Meta

    @property
    def name(self) -> str:
        return self.metadata.name

    def label(self, name: str) -> str:
        return self.metadata.labels.get(name, "")


class Deployment(Named, frozen=True, kw_only=True, rename="camel"):
    """Also a ReplicaSet, whose fields are a part of these."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def process(self) -> str:
        return self.label(names.PROCESS)

    @property
    def observed(self) -> bool:
        """Whether the status is about the latest specification."""
        return self.status.observed_generation >= self.metadata.generation

    @property
    def complete(self) -> bool:
        """Whether there are as many copies of the latest specification as wanted, all are healthy, and no others."""
        status, wanted = self.status, self.spec.replicas
        counts = (status.updated_replicas, status.replicas, status.available_replicas)
        return self.observed and counts == (wanted, wanted, wanted)

    def condition(self, kind: str) -> Condition | None:
        return next((found for found in self.status.conditions if found.type == kind), None)


class Waiting(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""


class Running(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    started_at: str = ""


class ContainerState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class Container(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    node_name: str = ""


class PodStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    phase: str = ""
    reason: str = ""
    message: str = ""
    start_time: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[Container, ...] = ()


class Pod(Named, frozen=True, kw_only=True, rename="camel"):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ending(self) -> bool:
        return bool(self.metadata.deletion_timestamp)

    @property
    def ready(self) -> bool:
        condition = self.condition("Ready")
        return not self.ending and condition is not None and condition.status == "True"

    @property
    def container(self) -> Container:
        """Ours. Others may have been put beside it, such as a proxy."""
        found = self.status.container_statuses
        return next((container for container in found if container.name == "app"), Container())

    def condition(self, kind: str) -> Condition | None:
        return next((found for found in self.status.conditions if found.type == kind), None)


class JobStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    conditions: tuple[Condition, ...] = ()


class Job(Named, frozen=True, kw_only=True, rename="camel"):
    status: JobStatus = JobStatus()

    @property
    def ended(self) -> str:
        """`Complete` or `Failed`; empty while it runs."""
        found = (condition.type for condition in self.status.conditions if condition.status == "True")
        return next((kind for kind in found if kind in ("Complete", "Failed")), "")


class ConfigMap(Named, frozen=True, kw_only=True, rename="camel"):
    data: dict[str, str] = {}


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    selector: dict[str, str] = {}


class Service(Named, frozen=True, kw_only=True, rename="camel"):
    spec: ServiceSpec = ServiceSpec()


class Requests(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    requests: dict[str, str] = {}


class ClaimSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    resources: Requests = Requests()


class Claim(Named, frozen=True, kw_only=True, rename="camel"):
    spec: ClaimSpec = ClaimSpec()


class Target(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    kind: str = ""
    name: str = ""


class ScalerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    scale_target_ref: Target = Target()


class Scaler(Named, frozen=True, kw_only=True, rename="camel"):
    """A HorizontalPodAutoscaler."""

    spec: ScalerSpec = ScalerSpec()


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: Meta
    reason: str = ""
    message: str = ""
    last_timestamp: str = ""


class Bare(Named, frozen=True, kw_only=True, rename="camel"):
    """An object of any kind."""

    kind: str = ""


class Items(msgspec.Struct, frozen=True):
    items: tuple[object, ...] = ()


def read(value: object, kind: type[T]) -> T:
    """Raises EngineFailed."""
    try:
        return msgspec.convert(_without_nulls(value), kind)
    except msgspec.ValidationError as error:
        raise EngineFailed(f"kubectl's answer has another form than expected: {error}") from None


def _without_nulls(value: object) -> object:
    """A field without a value, such as the time of creation in a template, may be left out or null."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
