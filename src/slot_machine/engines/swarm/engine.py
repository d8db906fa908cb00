"""Docker Swarm, as the commands and the flow of a deploy use it."""

import secrets as random
from collections import deque
from collections.abc import Iterator, Sequence

from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import Busy, EngineFailed, Impossible, NothingLive, StageFailed
from slot_machine.core.phases import HALF_MIGRATED, Phase
from slot_machine.engines.engine import Finding, Live, Logs, Status, Steps
from slot_machine.engines.release import Ended, Release, numbered
from slot_machine.engines.shape import App, Values
from slot_machine.engines.swarm import (
    check,
    edge_status,
    giving,
    labels,
    logs,
    mapping,
    names,
    nodes,
    one_off,
    running,
    standing,
    timing,
)
from slot_machine.engines.swarm.deploying import LAST_LINES, Deploying
from slot_machine.engines.swarm.docker import Docker, options
from slot_machine.engines.swarm.names import WEB
from slot_machine.engines.swarm.networks import make_networks
from slot_machine.engines.swarm.one_off import Job
from slot_machine.engines.swarm.records import Records
from slot_machine.engines.swarm.secrets import Secrets
from slot_machine.engines.swarm.shared_data import refuse_databases
from slot_machine.engines.swarm.stack import service_labels, stack
from slot_machine.engines.swarm.stack_file import text


class SwarmEngine:
    """`name` is the app's. `docker` and `deploying` are others in tests."""

    def __init__(
        self, name: str, config: Swarm, docker: Docker | None = None, deploying: Deploying | None = None
    ) -> None:
        self._name = name
        self._config = config
        self._docker = docker or Docker(config.context)
        self._deploying = deploying or Deploying(self._docker)
        self._records = Records(self._docker, name)
        self._secrets = Secrets(self._docker, name)

    def check(self) -> Iterator[Finding]:
        return check.findings(self._docker, self._config)

    def refuse(self, app: App) -> list[str]:
        warnings = mapping.refuse(app)
        services = {one.spec.name: one.spec.labels or {} for one in self._docker.every_service()}
        warnings += edge_status.lacking(app, services)
        others = [(name, has) for name, has in services.items() if name != names.service(self._name, WEB)]
        if conflict := labels.taken(labels.labels(app, maintenance=False), others):
            host, service = conflict
            what = "requests for any host" if host == labels.ANY else host
            raise Impossible(f"the service {service} has {what} already", "one app of a swarm can have a domain")
        if timing.local_data(app):
            nodes.holder(self._docker.nodes(), self._name)
        return warnings

    def live(self) -> Live | None:
        return standing.live(self._deploying.seen(self._name), self._proven())

    def releases(self) -> list[Release]:
        return self._records.releases()

    def platforms(self) -> tuple[str, ...]:
        return tuple(sorted({nodes.platform(node) for node in nodes.able(self._docker.nodes())}))

    def begin(self, release: Release) -> None:
        self._records.begin(release)

    def end(self, release: Release, ended: Ended) -> None:
        self._records.end(release, ended)

    def forget(self, releases: Sequence[Release]) -> None:
        self._records.forget(releases)

    def manifest(self, app: App) -> str:
        return text(stack(app))

    def give_image(self, app: App) -> Steps:
        """Also prepares what the release command needs beside it: networks, and the node with the data."""
        make_networks(self._docker, self._name)
        if timing.local_data(app):
            nodes.pin(self._docker, self._docker.nodes(), self._name)
        summary = yield from giving.given(self._docker, self._config, app)
        yield from refuse_databases(self._docker, app)
        return summary

    def keep_values(self, app: App, values: Values) -> None:
        mapping.refuse_values(app, values.variables)
        self._secrets.keep(values)

    def run_release(self, app: App) -> Steps:
        limit_s = app.version.release_timeout_s
        job = Job(one_off.RELEASE, f"{self._name}-release-{app.release}", [app.version.release_command or ""], limit_s)
        last: deque[str] = deque(maxlen=LAST_LINES)
        one_off.end_releases(self._docker, self._name)
        try:
            code = yield from running.kept(running.lines(one_off.run(self._docker, app, job)), last)
        except EngineFailed as error:
            raise StageFailed(Phase.RELEASE.stage, str(error), tuple(last), error.hint) from None
        if code:
            what = f"the release command ended with exit code {code}"
            raise StageFailed(Phase.RELEASE.stage, what, tuple(last), HALF_MIGRATED)
        return ""

    def apply(self, release: Release) -> None:
        make_networks(self._docker, self._name)
        one_off.end_releases(self._docker, self._name)
        self._deploying.begin(release)

    def wait(self, release: Release) -> Steps:
        return self._deploying.wait(release)

    def tidy(self, release: Release, keep: Sequence[Release]) -> None:
        seen = self._deploying.seen(self._name)
        stale = [one.id for one in seen.services if not one.is_job and one.process not in release.app.processes]
        self._docker.drop("service", stale)
        one_off.remove_stale(self._docker, seen.services, seen.tasks)
        self._secrets.remove_others([one.app.env_digest for one in keep])
        if not self._config.registry:
            nodes.forget_images(self._docker, self._name, [one.commit for one in keep])

    def remove(self, app: App) -> None:
        self._docker.drop("service", [service.id for service in self._docker.services(app.name)])
        self._secrets.remove_others([])

    def status(self) -> Status:
        return standing.status(self._deploying.seen(self._name), self._proven())

    def logs(self, wanted: Logs) -> Iterator[str]:
        return logs.lines(self._docker, self._name, wanted)

    def run(self, argv: Sequence[str], *, terminal: bool) -> int:
        app = self._live_app()
        if terminal or running.has_input():
            return running.beside(self._docker, app, self._deploying.seen(self._name), argv, terminal=terminal)
        job = Job("run", f"{self._name}-run-{random.token_hex(4)}", running.words(argv), running.LIMIT_S)
        make_networks(self._docker, self._name)
        return running.printed(one_off.run(self._docker, app, job))

    def maintain(self, *, on: bool) -> None:
        app = self._live_app()
        name = names.service(self._name, WEB)
        service = next(one for one in self._docker.services(self._name) if one.spec.name == name)
        if service.state in standing.GOING_ON:
            raise Busy("an update of the web service goes on", "try again when it has ended: `slot-machine status`")
        wanted = service_labels(app, maintenance=on)
        gone = [label for label in service_labels(app, maintenance=not on) if label not in wanted]
        words = options("--label-add", wanted) + [word for label in gone for word in ("--label-rm", label)]
        self._docker.change("service", "update", "--quiet", "--detach", *words, name)

    def _live_app(self) -> App:
        """Raises NothingLive."""
        live = self.live()
        release = numbered(self.releases(), live.release) if live else None
        if not release:
            raise NothingLive("no release of ours is live", "`slot-machine deploy` begins one")
        return release.app

    def _proven(self) -> set[int]:
        return {release.target for release in self.releases() if release.result == "succeeded"}
