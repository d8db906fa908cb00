"""Kubernetes as an engine, by kubectl."""

import math
from collections.abc import Iterator, Sequence

from slot_machine.core.engine_config import Kubernetes
from slot_machine.core.errors import EngineFailed, NothingLive
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Finding, Live, Logs, Status, Steps
from slot_machine.engines.image import registry
from slot_machine.engines.kubernetes import (
    check,
    leftovers,
    logs,
    manifests,
    mapping,
    one_off,
    pod,
    present,
    standing,
    storage,
    workloads,
)
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.nodes import platforms
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.kubernetes.records import Records
from slot_machine.engines.kubernetes.release_job import ReleaseJob
from slot_machine.engines.kubernetes.rollout import Clock, Rollout
from slot_machine.engines.kubernetes.version import Version, server
from slot_machine.engines.release import Ended, Release, numbered
from slot_machine.engines.shape import App, Values

NATIVE_SLEEP = Version(1, 30)
"""Before, a node can't wait by itself before it ends a container."""


class KubernetesEngine:
    """Implements Engine. Reaches nothing before it is asked."""

    def __init__(
        self,
        name: str,
        config: Kubernetes,
        client: Client | None = None,
        clock: Clock | None = None,
        docker: Client | None = None,
    ) -> None:
        self._name = name
        self._config = config
        self._client = client or kubectl(config)
        self._clock = clock or Clock()
        self._docker = docker or Client("docker")
        self._cluster = Cluster(self._client, name)
        self._records = Records(self._cluster, name)
        self._server: Version | None = None
        self._refused = False

    def check(self) -> Iterator[Finding]:
        return check.findings(self._client, self._config)

    def refuse(self, app: App) -> list[str]:
        return mapping.refuse(app)

    def live(self) -> Live | None:
        return standing.live(self._cluster)

    def releases(self) -> list[Release]:
        return self._records.all()

    def platforms(self) -> tuple[str, ...]:
        return platforms(self._cluster)

    def begin(self, release: Release) -> None:
        self._records.begin(release)

    def end(self, release: Release, ended: Ended) -> None:
        self._records.end(release, ended)

    def forget(self, releases: Sequence[Release]) -> None:
        self._records.forget(releases)

    def manifest(self, app: App) -> str:
        return manifests.text(manifests.objects(app, native_sleep=self._version() >= NATIVE_SLEEP))

    def give_image(self, app: App) -> Steps:
        """Nodes get it from the registry."""
        return registry.push(self._docker, app.image)

    def keep_values(self, app: App, values: Values) -> None:
        mapping.refuse_values(app, values.variables)
        if app.env_digest:
            self._cluster.apply([storage.secret(app, values)])

    def run_release(self, app: App) -> Steps:
        return ReleaseJob(self._cluster, app, self._clock).run()

    def apply(self, release: Release) -> None:
        """The server is asked for all of it before anything is changed. What it refused has changed nothing."""
        if self._refused:
            self._refused = False
            return
        items = self._applied(release)
        try:
            self._cluster.apply(items, dry_run=True)
        except EngineFailed:
            self._refused = True
            raise
        self._cluster.apply(item for item in items if not manifests.begins_later(item))

    def wait(self, release: Release) -> Steps:
        """Workers and jobs begin when the web process is healthy."""
        items = manifests.parsed(release.manifest)
        done = yield from self._rolled_out(release, [item for item in items if not manifests.begins_later(item)])
        later = [item for item in items if manifests.begins_later(item)]
        if later:
            self._cluster.apply(item for item in self._applied(release) if manifests.begins_later(item))
            workers = yield from self._rolled_out(release, later)
            done = ", ".join(filter(None, (done, workers)))
        return done

    def tidy(self, release: Release, keep: Sequence[Release]) -> None:
        leftovers.tidy(self._cluster, self._name, release, keep)

    def remove(self, app: App) -> None:
        self._refused = False
        leftovers.remove(self._cluster, manifests.objects(app))

    def status(self) -> Status:
        return standing.status(self._cluster)

    def logs(self, wanted: Logs) -> Iterator[str]:
        return logs.lines(self._cluster, wanted)

    def run(self, argv: Sequence[str], *, terminal: bool) -> int:
        return one_off.run(self._cluster, self._live_release().app, argv, self._clock, terminal=terminal)

    def maintain(self, *, on: bool) -> None:
        """By the Service alone: copies run on, and are checked."""
        items = manifests.parsed(self._live_release().manifest)
        services = [item for item in items if item["kind"] == "Service"]
        self._cluster.apply(present.maintained(item) if on else item for item in services)

    def _applied(self, release: Release) -> list[Json]:
        return present.Present(self._cluster).applied(manifests.parsed(release.manifest))

    def _rolled_out(self, release: Release, items: Sequence[Json]) -> Steps:
        deployments = [manifests.name_of(item) for item in items if item["kind"] == "Deployment"]
        if not deployments:
            return ""
        limit_s = _limit_s(release.app)
        return (yield from Rollout(self._cluster, release.target, deployments, limit_s, self._clock).watch())

    def _live_release(self) -> Release:
        """Raises NothingLive."""
        live = self.live()
        found = numbered(self.releases(), live.release) if live else None
        if not found:
            raise NothingLive("no release of ours is live", "`slot-machine deploy` begins one")
        return found

    def _version(self) -> Version:
        if not self._server:
            self._server = server(self._client)
        return self._server


def kubectl(config: Kubernetes) -> Client:
    context = ["--context", config.context] if config.context else []
    namespace = ["--namespace", config.namespace] if config.namespace else []
    return Client("kubectl", *context, *namespace)


def _limit_s(app: App) -> float:
    """For one copy: to start, and before that, for the one that it replaces to end."""
    start_s = workloads.PULL_S + math.ceil(app.version.health_timeout_s)
    graces = [pod.web_grace_s(app), *(math.ceil(worker.stop_timeout_s) for worker in app.version.workers.values())]
    return start_s + max(graces)
