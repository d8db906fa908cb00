"""What has to be there before a deploy can work: client, context, server, rights, nodes, and what is named."""

from collections.abc import Iterator

from slot_machine.core.engine_config import Kubernetes
from slot_machine.core.errors import EngineFailed
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Finding
from slot_machine.engines.image.registry_check import registry
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.nodes import platforms
from slot_machine.engines.kubernetes.version import OLDEST, server

RIGHTS = (
    ("create", "deployments.apps"),
    ("patch", "deployments.apps"),
    ("delete", "deployments.apps"),
    ("list", "replicasets.apps"),
    ("patch", "services"),
    ("create", "secrets"),
    ("delete", "secrets"),
    ("create", "configmaps"),
    ("patch", "configmaps"),
    ("create", "jobs.batch"),
    ("patch", "cronjobs.batch"),
    ("patch", "poddisruptionbudgets.policy"),
    ("patch", "persistentvolumeclaims"),
    ("list", "pods"),
    ("get", "pods/log"),
    ("create", "pods/exec"),
)
"""Those without which a command of ours fails. An app without data needs no right for volumes."""


def findings(client: Client, config: Kubernetes) -> Iterator[Finding]:
    """One after the other. Stops at the first without which nothing else can be asked."""
    try:
        yield from _context(client, config)
        yield from _reached(client, config)
    except EngineFailed as error:
        remedy = f"try `{client.shown('version')}`: is its address right, a VPN needed, or a login over?"
        yield Finding(str(error), remedy)
        return
    cluster = Cluster(client, "")
    yield from _rights(client, config)
    yield from _nodes(cluster)
    yield from _named(client, config)
    yield from registry(config.registry, nodes_use_ours=bool(config.pull_secret))


def _context(client: Client, config: Kubernetes) -> Iterator[Finding]:
    """Raises EngineFailed if there is none."""
    known = client.run("config", "get-contexts", "-o", "name").split()
    context = config.context or client.run("config", "current-context").strip()
    if context in known:
        yield Finding(f"context {context}")
    else:
        remedy = f"set engine.context to one of these: {', '.join(known)}" if known else "`kubectl config` makes one"
        yield Finding(f"kubectl knows no context {context}", remedy)


def _reached(client: Client, config: Kubernetes) -> Iterator[Finding]:
    version = server(client)
    old = f"slot-machine needs Kubernetes {OLDEST} or newer" if version < OLDEST else ""
    yield Finding(f"the server has Kubernetes {version}", old)
    if config.namespace and not _there(client, "namespace", config.namespace):
        remedy = f"make it: `kubectl create namespace {config.namespace}`"
        yield Finding(f"there is no namespace {config.namespace}, or we may not see it", remedy, fatal=False)


def _rights(client: Client, config: Kubernetes) -> Iterator[Finding]:
    route = "httproutes.gateway.networking.k8s.io" if config.gateway else "ingresses.networking.k8s.io"
    lacking = [
        f"{verb} {resource}"
        for verb, resource in (*RIGHTS, ("patch", route))
        if client.attempt("auth", "can-i", verb, resource).code
    ]
    if lacking:
        remedy = "ask for a role with these rights in the namespace: docs/engines.md has one"
        yield Finding(f"rights that we have not: {', '.join(lacking)}", remedy)
    else:
        yield Finding("all rights that a deploy needs")


def _nodes(cluster: Cluster) -> Iterator[Finding]:
    try:
        found = platforms(cluster)
    except EngineFailed as error:
        yield Finding(str(error), error.hint)
        return
    if found:
        yield Finding(f"nodes of {', '.join(found)}")
    else:
        remedy = "ask for the right to list nodes. Images are built for this computer's architecture alone"
        yield Finding("we may not list the nodes", remedy, fatal=False)


def _named(client: Client, config: Kubernetes) -> Iterator[Finding]:
    """What the configuration names has to be there."""
    gateway_space, _, gateway = config.gateway.rpartition("/")
    of_gateway = ("--namespace", gateway_space) if gateway_space else ()
    named = [
        ("engine.ingress_class", "ingressclass", config.ingress_class, ()),
        ("engine.issuer", "clusterissuer", config.issuer, ()),
        ("engine.storage_class", "storageclass", config.storage_class, ()),
        ("engine.pull_secret", "secret", config.pull_secret, ()),
        ("engine.gateway", "gateway.gateway.networking.k8s.io", gateway, of_gateway),
    ]
    for field, resource, name, options in named:
        if not name:
            continue
        if _there(client, resource, name, *options):
            yield Finding(f"{field}: {name} is there")
        else:
            remedy = f"`kubectl get {resource}` lists them. Set {field} to one of these, or make it"
            yield Finding(f"{field}: the cluster has no {resource.partition('.')[0]} {name} that we see", remedy)


def _there(client: Client, resource: str, name: str, *options: str) -> bool:
    return client.attempt("get", resource, name, "-o", "name", *options).code == 0
