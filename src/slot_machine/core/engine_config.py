"""The field `engine` of `slot-machine.json`: where the app runs, if not on this machine alone."""

from typing import Annotated

import msgspec

from slot_machine.core.fields import Doc, Millis

Context = Annotated[str, msgspec.Meta(pattern=r"^[^-\x00-\x20\x7f][^\x00-\x20\x7f]*\Z|^\Z", max_length=200)]
Replicas = Annotated[int, msgspec.Meta(ge=1, le=1000)]
REGISTRY = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9._-]+)*"
Registry = Annotated[str, msgspec.Meta(pattern=rf"^({REGISTRY})?\Z", max_length=200)]
Destination = Annotated[str, msgspec.Meta(pattern=r"^(?!-|.*@-)[^\x00-\x20\x7f]+\Z", max_length=300)]
"""Of ssh, which would take a word that begins with - for an option, as docker gives it the host alone."""
Label = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?\Z")]
"""A name as Kubernetes takes it (RFC 1123, a label)."""
DnsName = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?\Z")]

SWARM_DELAY_MS = 3_000
"""After the 2 s for which the engine itself waits, once it has taken a copy out of its DNS."""
KUBERNETES_DELAY_MS = 5_000


class Swarm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="swarm"):
    """Docker Swarm, as the program `docker` reaches it."""

    context: Annotated[Context, Doc("the context of `docker` that leads to a manager", default="docker's own")] = ""
    replicas: Annotated[Replicas, Doc("how many copies of the app run")] = 1
    registry: Annotated[
        Registry,
        Doc(
            "where images go, such as `registry.example.com/team`. Without one, each node gets them over ssh",
            default="none",
        ),
    ] = ""
    nodes: Annotated[
        dict[str, Destination],
        Doc(
            "without a registry: by the name of a node, where ssh reaches it, such as `deploy@10.0.0.2`",
            default="the names of the nodes",
        ),
    ] = {}
    nfs: Annotated[
        str,
        msgspec.Meta(pattern=r'^([^:\s,"]+:/[^\s,"]*)?\Z', max_length=500),
        Doc("`SERVER:/PATH` of an NFS export for `shared_dirs`, so that all nodes share them", default="none"),
    ] = ""
    stop_delay_ms: Annotated[Millis, Doc("time from when a copy gets no new requests until it is asked to end")] = (
        SWARM_DELAY_MS
    )


class Kubernetes(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="kubernetes"
):
    """Kubernetes, as the program `kubectl` reaches it."""

    context: Annotated[Context, Doc("the context of `kubectl`", default="kubectl's own")] = ""
    namespace: Annotated[Label, Doc("the namespace, which has to be there", default="that of the context")] = ""
    replicas: Annotated[
        Replicas, Doc("how many copies of the app run. An autoscaler that has the Deployment decides instead")
    ] = 1
    registry: Annotated[
        str,
        msgspec.Meta(pattern=rf"^{REGISTRY}\Z", max_length=200),
        Doc("where images go, such as `registry.example.com/team`"),
    ]
    ingress_class: Annotated[
        DnsName, Doc("the class of the Ingress that leads `domains` to the app", default="the cluster's own")
    ] = ""
    gateway: Annotated[
        str,
        msgspec.Meta(pattern=r"^(([a-z0-9][a-z0-9-]*/)?[a-z0-9][a-z0-9.-]*)?\Z", max_length=300),
        Doc("`NAMESPACE/NAME` of a Gateway that leads `domains` to the app, in place of an Ingress", default="none"),
    ] = ""
    issuer: Annotated[
        DnsName, Doc("the ClusterIssuer by which cert-manager gets certificates for `domains`", default="none")
    ] = ""
    storage_class: Annotated[
        DnsName,
        Doc("a storage class whose volumes several copies may use at once, for `shared_dirs`", default="none"),
    ] = ""
    pull_secret: Annotated[
        DnsName, Doc("the Secret with which nodes log in to the registry", default="what the cluster has")
    ] = ""
    stop_delay_ms: Annotated[Millis, Doc("time from when a copy gets no new requests until it is asked to end")] = (
        KUBERNETES_DELAY_MS
    )
    storage_gb: Annotated[
        int, msgspec.Meta(ge=1, le=1_000_000), Doc("size of the volume for `shared_dirs`, in GiB")
    ] = 10


EngineConfig = Swarm | Kubernetes


def kind(engine: EngineConfig) -> str:
    """As the field has it."""
    return "swarm" if isinstance(engine, Swarm) else "kubernetes"


def stop_delay_s(engine: EngineConfig) -> float:
    return engine.stop_delay_ms / 1000
