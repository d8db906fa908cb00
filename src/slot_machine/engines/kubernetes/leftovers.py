"""Removes what no version that may run has any more."""

from collections.abc import Iterable, Sequence

from slot_machine.engines.kubernetes import manifests, names, seen
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.release import Release

RESOURCES = {
    "CronJob": "cronjobs",
    "Deployment": "deployments",
    "HTTPRoute": "httproutes.gateway.networking.k8s.io",
    "Ingress": "ingresses",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Service": "services",
}
"""What may be removed, by its kind. The app's data, and the records, stay."""


def tidy(cluster: Cluster, name: str, release: Release, keep: Sequence[Release]) -> None:
    """All objects of the app that the release's manifest has not. Raises EngineFailed.

    Only kinds that a release has had are asked for: not each cluster has HTTPRoutes.
    """
    items = manifests.parsed(release.manifest)
    had = [item for kept in keep for item in manifests.parsed(kept.manifest)]
    for kind in _kinds([*items, *had]):
        wanted = {manifests.name_of(item) for item in items if item["kind"] == kind}
        found = cluster.listed(RESOURCES[kind], seen.Bare)
        cluster.remove(RESOURCES[kind], [item.name for item in found if item.name not in wanted])
    digests = {kept.app.env_digest for kept in (release, *keep)}
    _secrets(cluster, {names.env_secret(name, digest) for digest in digests if digest})
    _jobs(cluster)


def remove(cluster: Cluster, items: Iterable[Json]) -> None:
    """All of the app but its data and its records. Raises EngineFailed."""
    for kind in _kinds(items):
        cluster.remove(RESOURCES[kind], [found.name for found in cluster.listed(RESOURCES[kind], seen.Bare)])
    _secrets(cluster, set())
    _jobs(cluster)


def _kinds(items: Iterable[Json]) -> list[str]:
    """In the order in which visitors are led away first."""
    return sorted({str(item["kind"]) for item in items} & RESOURCES.keys(), reverse=True)


def _secrets(cluster: Cluster, wanted: set[str]) -> None:
    chosen = f"{cluster.selector},{names.PROCESS}={names.ENV}"
    found = cluster.client.run("get", "secrets", "-l", chosen, "-o", "name").split()
    cluster.remove("secrets", [name for item in found if (name := item.rpartition("/")[2]) not in wanted])


def _jobs(cluster: Cluster) -> None:
    """Those of release commands that have ended."""
    found = cluster.listed("jobs", seen.Job, f"{cluster.selector},{names.PROCESS}={names.RELEASING}")
    cluster.remove("jobs", [job.name for job in found if job.ended])
