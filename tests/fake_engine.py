"""An engine in memory, in which any step can fail, be interrupted, or be the last one of a client that is killed."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from slot_machine.core.errors import Busy, StageFailed
from slot_machine.core.phases import Phase
from slot_machine.engines.engine import Copy, Finding, Live, Logs, Status, Steps
from slot_machine.engines.release import Ended, Release
from slot_machine.engines.shape import App, Values


class Killed(BaseException):
    """The client is gone: nothing of it runs any more."""


class Cluster:
    """What is on the nodes. It outlives the clients."""

    def __init__(self) -> None:
        self.records: dict[int, Release] = {}
        self.services: dict[str, App] = {}
        self.secrets: set[str] = set()
        self.images: set[str] = set()
        self.jobs: list[str] = []
        self.bad: set[str] = set()
        """Commits whose copies are never healthy."""
        self.maintenance = False
        self.findings = [Finding("the client is installed")]
        self.printed = ""
        """What the release command prints, such as a secret."""

    @property
    def web(self) -> str:
        """The commit that visitors get, if all of its processes are of one release; else what a test should not see."""
        releases = {app.release for app in self.services.values()}
        if not releases:
            return ""
        return self.services["web"].commit if len(releases) == 1 else f"mixed: {sorted(releases)}"

    @property
    def history(self) -> list[tuple[int, str, str]]:
        return [(number, of.kind, of.result) for number, of in sorted(self.records.items())]


class FakeEngine:
    """One client of the cluster. `before` and `after` are called with the name of each step."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self.steps: list[str] = []

    def _step(self, name: str, work: Callable[[], None]) -> None:
        self.steps.append(name)
        self.before(name)
        work()
        self.after(name)

    def check(self) -> Iterator[Finding]:
        yield from self.cluster.findings

    def refuse(self, app: App) -> list[str]:
        self._step("refuse", lambda: None)
        return [f"hooks are not run on a cluster: {', '.join(app.daemon.hooks)}"] if app.daemon.hooks else []

    def live(self) -> Live | None:
        self._step("live", lambda: None)
        web = self.cluster.services.get("web")
        return Live(web.commit, web.release, web.env_digest, self.cluster.maintenance) if web else None

    def releases(self) -> list[Release]:
        self._step("releases", lambda: None)
        return [self.cluster.records[number] for number in sorted(self.cluster.records, reverse=True)]

    def platforms(self) -> tuple[str, ...]:
        self._step("platforms", lambda: None)
        return ("linux/amd64",)

    def begin(self, release: Release) -> None:
        def work() -> None:
            if release.number in self.cluster.records:
                raise Busy("another deploy has begun")
            self.cluster.records[release.number] = msgspec.json.decode(msgspec.json.encode(release), type=Release)

        self._step("begin", work)

    def end(self, release: Release, ended: Ended) -> None:
        def work() -> None:
            if self.cluster.records[release.number].ended:
                raise Busy("it has ended already")
            found = self.cluster.records[release.number]
            self.cluster.records[release.number] = msgspec.structs.replace(found, ended=ended)

        self._step("end", work)

    def forget(self, releases: Sequence[Release]) -> None:
        def work() -> None:
            for one in releases:
                del self.cluster.records[one.number]

        self._step("forget", work)

    def manifest(self, app: App) -> str:
        return msgspec.json.encode(app).decode()

    def give_image(self, app: App) -> Steps:
        self._step("give_image", lambda: self.cluster.images.add(app.image))
        yield "node a has it"
        return "on 1 node"

    def keep_values(self, app: App, values: Values) -> None:
        assert app.env_digest == values.digest
        self._step("keep_values", lambda: self.cluster.secrets.update(filter(None, [app.env_digest])))

    def run_release(self, app: App) -> Steps:
        self._step("run_release", lambda: self.cluster.jobs.append(app.commit))
        yield f"migrated with {self.cluster.printed}"
        return "done"

    def apply(self, release: Release) -> None:
        def web() -> None:
            self.cluster.services["web"] = app

        def workers() -> None:
            for name in app.processes:
                self.cluster.services[name] = app

        app = msgspec.json.decode(release.manifest, type=App)
        assert app.env_digest in {"", *self.cluster.secrets}, "the release names a secret that is not there"
        self._step("apply", web)
        self._step("apply workers", workers)

    def wait(self, release: Release) -> Steps:
        self._step("wait", lambda: None)
        yield "1 of 2 copies are new"
        self._step("wait on", lambda: None)
        applied = msgspec.json.decode(release.manifest, type=App)
        if self.cluster.services.get("web") != applied or applied.commit in self.cluster.bad:
            raise StageFailed(Phase.HEALTH, "web.1 is not healthy", output=(f"last words: {self.cluster.printed}",))
        return "2 of 2 copies are healthy"

    def tidy(self, release: Release, keep: Sequence[Release]) -> None:
        def work() -> None:
            app = msgspec.json.decode(release.manifest, type=App)
            for name in self.cluster.services.keys() - app.processes.keys():
                del self.cluster.services[name]
            self.cluster.secrets &= {one.app.env_digest for one in keep}

        self._step("tidy", work)

    def remove(self, app: App) -> None:
        def work() -> None:
            assert app.name
            self.cluster.services.clear()
            self.cluster.secrets.clear()

        self._step("remove", work)

    def status(self) -> Status:
        web = self.cluster.services.get("web")
        copies = [
            Copy(
                id=f"{name}.1",
                process=name,
                commit=app.commit,
                state="running",
                healthy=app.commit not in self.cluster.bad,
                release=app.release,
            )
            for name, app in self.cluster.services.items()
        ]
        live = Live(web.commit, web.release, web.env_digest, self.cluster.maintenance) if web else None
        return Status(live=live, wanted=dict.fromkeys(self.cluster.services, 1), copies=copies)

    def logs(self, wanted: Logs) -> Iterator[str]:
        yield f"2026-11-27T12:00:00Z {wanted.process or 'web'}.1 a line"

    def run(self, argv: Sequence[str], *, terminal: bool) -> int:
        assert not terminal
        return len(argv)

    def maintain(self, *, on: bool) -> None:
        self._step("maintain", lambda: setattr(self.cluster, "maintenance", on))


class FakeImages:
    """Builds nothing. `before` is called when it is asked to."""

    def __init__(self) -> None:
        self.before: Callable[[str], None] = lambda _: None

    def build(self, app: App, platforms: Sequence[str]) -> Steps:
        self.before("build")
        yield f"building {app.commit} for {', '.join(platforms)}"
        return "built"
