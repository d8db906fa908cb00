"""A machine that exists in memory only: processes, git, traffic, a database and a clock, of which any step can fail."""

import asyncio
import itertools
import json
import selectors
import signal
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar, cast

from slot_machine.app import another_port, custody, job_run
from slot_machine.app.another_port import OnTaken, log_it
from slot_machine.app.app import App, Cron
from slot_machine.app.configurations import Configurations
from slot_machine.app.deployer import Deployer
from slot_machine.app.notices import Notices
from slot_machine.app.parts import Given
from slot_machine.app.release import Release
from slot_machine.app.run import Run
from slot_machine.app.seams import Remote
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.candidate import Candidate
from slot_machine.core.config_file import parse
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import CommitNotFound, StageFailed
from slot_machine.core.masking import Masking
from slot_machine.core.minutes import Minute
from slot_machine.core.model import WEB, Attempt, Contents, Made, Result, Running, State, Version
from slot_machine.core.notice import Notice
from slot_machine.core.origin import Description
from slot_machine.core.phases import Phase
from slot_machine.core.side_runs import SideRun
from slot_machine.core.upstream import INTERNAL, PUBLIC, Address, Beside, Counts, Upstream
from slot_machine.core.verdict import Side
from slot_machine.host.files.capacity import Size
from slot_machine.host.git.worktrees import Clearing, Protected
from slot_machine.host.logs import SlotLog, SlotLogs
from slot_machine.host.network.probe import Answer
from slot_machine.host.process.proc import Identity
from slot_machine.proxy.wire import Maintenance
from slot_machine.state.history import UnderWay
from slot_machine.state.schema import SCHEMA
from slot_machine.state.store import Role, Store
from slot_machine.traffic import mode as modes
from tests.push_fakes import Branches

T = TypeVar("T")

HEALTHY = Answer(200, "200", healthy=True)
COMMAND = Identity(7_000, 7_000, "boot")
"""Of what the shell runs."""

COMMITS = {name: name * 40 for name in "abcdef"}


class Clock(selectors.DefaultSelector):
    """Nobody waits: when nothing is left to do, it is later."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and nothing is due"
        self.now_s += max(timeout, 0)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s

    def begin_anew(self) -> None:
        """As the monotonic clock does when a machine boots."""
        self._clock.now_s = 0.0


def run(story: Coroutine[None, None, T]) -> T:
    """In a time of its own, in which seconds cost nothing."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(story)


class Faults:
    """Counts the steps of the fake machine. `strike` is called in the step with the number `at`."""

    def __init__(self, at: int = 0, strike: Callable[[], None] = lambda: None) -> None:
        self.at = at
        self.strike = strike
        self.names: list[str] = []
        self.dead = asyncio.Event()
        """Set when all that a killed daemon did is over."""
        self.killed = False

    def kill(self) -> None:
        """Each step stands still from now on, as if its daemon had been killed."""
        self.killed = True
        self.at = 0

    async def step(self, name: str) -> None:
        await asyncio.sleep(0)
        self.now(name)
        await asyncio.sleep(0)
        if self.killed:
            await self.dead.wait()
            raise asyncio.CancelledError

    def now(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self.at:
            self.strike()


class Processes:
    """A run of an app: it ends when it is told to, or by `crash`."""

    def __init__(self, faults: Faults, pid: int) -> None:
        self.identity = Identity(pid, pid, "boot")
        self.pid = pid
        self.survivors: list[str] = []
        self.exit_code: int | None = None
        self.grace_s: float | None = None
        self.signals: list[str] = []
        """That its main process got."""
        self.killed_for_memory = 0
        self.works_s = 0.0
        """So long it goes on after a stop signal."""
        self.faults = faults
        self._ended = asyncio.Event()

    async def exited(self) -> int:
        await self.faults.step("exited")
        await self._ended.wait()
        assert self.exit_code is not None
        return self.exit_code

    def members(self) -> list[int]:
        return []

    def oom_kills(self) -> int:
        return self.killed_for_memory

    async def stop(self, grace_s: float) -> bool:
        self.grace_s = grace_s
        await self.faults.step("stop")
        self.end(-15)
        return False

    def ask(self, signum: signal.Signals) -> None:
        self.faults.now("ask")
        self.signals.append(signum.name)

    async def end_within(self, grace_s: float) -> bool:
        self.grace_s = grace_s
        await self.faults.step("end within")
        await asyncio.sleep(min(self.works_s, grace_s))
        self.end(-15 if self.works_s <= grace_s else -9)
        return self.works_s > grace_s

    async def kill(self) -> None:
        await self.faults.step("kill")
        self.end(-9)

    def reap(self) -> None:
        pass

    def end(self, code: int) -> None:
        if self.exit_code is None:
            self.exit_code = code
        self._ended.set()


class Launcher:
    """Fails each launch with what stands in `failures`, as long as there is something."""

    def __init__(self, faults: Faults, store: Store, data: Path) -> None:
        self.started: list[Run] = []
        self.left: list[Release] = []
        self.left_to_end: list[Run] = []
        self.failures: list[Exception] = []
        self.side_failures: list[Exception] = []
        self.answers: list[Answer | Exception] = []
        """To the next probes; then it is healthy."""
        self.hangs = False
        """No probe is answered."""
        self.pages: dict[tuple[str, str], Answer | Exception] = {}
        """What a version, by its commit's letter, answers to a path; else it is healthy."""
        self.page_s = 0.0
        self.asked: list[tuple[str, str, bool]] = []
        self.taken: StageFailed | None = None
        """Another program listens in the app's place."""
        self.doubts: list[str] = []
        self.dropped: list[str] = []
        self.env_file = ""
        self.variables: dict[str, str] = {}
        self.bad_environment: Exception | None = None
        self.environments: list[Phase] = []
        self._faults = faults
        self._store = store
        self.logs = SlotLogs(data, 0, 0)
        self.masking = Masking()
        self._run_ids = itertools.count(1)

    async def launch(
        self, version: Version, on_started: Callable[[], None] = lambda: None, on_taken: OnTaken = log_it
    ) -> Release:
        return Release(version, await self._start(version, 0, on_started, on_taken, "health"))

    async def launch_beside(
        self, version: Version, on_started: Callable[[], None] = lambda: None, on_taken: OnTaken = log_it
    ) -> Release:
        return Release(version, await self._start(version, 0, on_started, on_taken, "beside"))

    async def restart(self, release: Release, on_taken: OnTaken = log_it) -> Run:
        return await self._start(release.version, release.release_id, lambda: None, on_taken, "health")

    async def start_side_run(self, release: Release, side: SideRun) -> Run:
        self._faults.now("start side run")
        if self._faults.killed:
            raise asyncio.CancelledError
        if self.side_failures:
            raise self.side_failures.pop(0)
        run = self.process(release.version, release.release_id, side.run)
        try:
            run.save()
        except BaseException:
            processes_of(run).end(-9)
            raise
        return run

    async def _start(
        self, version: Version, release_id: int, on_started: Callable[[], None], on_taken: OnTaken, step: str
    ) -> Run:
        once = partial(self._start_once, version, release_id, on_started, step)
        return await another_port.started(once, version, on_taken)

    async def _start_once(self, version: Version, release_id: int, on_started: Callable[[], None], step: str) -> Run:
        await self._faults.step("launch")
        run = self.process(version, release_id)
        run.env_digest = self.env_file
        try:
            on_started()
            await self._faults.step(step)
            if self.failures:
                raise self.failures.pop(0)
            run.upstream = upstream(run)
            run.save()
        except BaseException:
            processes_of(run).end(-9)
            raise
        run.listeners.doubts += self.doubts
        return run

    def adopted(self, *, retiring: bool = False) -> list[Run]:
        """What another daemon finds by the database."""
        processes = {run.session.identity: run.session for run in self.started}
        return [
            Run(row.run, row.release_id, processes[row.identity], row.running, self._store, Path(f"{row.run}.log"))
            for row in self._store.processes()
            if row.running and (row.running.retiring is not None) == retiring
        ]

    def continue_after(self, earlier: "Launcher") -> None:
        """No id is used twice."""
        self._run_ids = earlier._run_ids

    def process(self, version: Version, release_id: int = 0, name: str = WEB) -> Run:
        run_id = next(self._run_ids)
        what = Running(version, run_id, run_id, run_id)
        processes = Processes(self._faults, run_id)
        run = Run(name, release_id or run_id, processes, what, self._store, Path(f"{name}.log"))
        self.started.append(run)
        return run

    async def probe(self, _: Release) -> Answer:
        await self._faults.step("probe")
        if self.hangs:
            await asyncio.sleep(1000)
        answer = self.answers.pop(0) if self.answers else HEALTHY
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask(self, release: Release, path: str, _limit_s: float, *, candidate: bool) -> Answer:
        await self._faults.step(f"ask {release.version.commit[0]} for {path}")
        self.asked.append((release.version.commit[0], path, candidate))
        answer = self.pages.get((release.version.commit[0], path), HEALTHY)
        if isinstance(answer, Exception):
            raise answer
        await asyncio.sleep(self.page_s)
        return answer

    def left_running(self) -> list[Release]:
        return [release for release in self.left if any(run.running for run in release.runs.values())]

    def left_retiring(self) -> list[Run]:
        return self.left_to_end

    def can_adopt(self, _: Release) -> bool:
        self._faults.now("can adopt")
        return self.taken is None

    def check(self, _: Release) -> None:
        self._faults.now("check")
        if self.taken:
            raise self.taken

    def open_log(self, version: Version, _: Phase) -> SlotLog:
        return self.logs.open(version.slot)

    def env_file_digest(self) -> str:
        return self.env_file

    def dropped_variables(self, _: Version, stage: Phase) -> list[str]:
        self._check(stage)
        return self.dropped

    def environment(self, _: Version, stage: Phase, _ports: dict[str, int]) -> dict[str, str]:
        self._check(stage)
        return self.variables

    def _check(self, stage: Phase) -> None:
        self.environments.append(stage)
        if self.bad_environment:
            raise self.bad_environment


class Shell:
    """Runs a setup, a build or a release command: one that ends at once with `code`, unless it `hangs`."""

    def __init__(self, faults: Faults) -> None:
        self.code = 0
        self.fails = ""
        """This command alone fails, and only once."""
        self.hangs = False
        self.works_s = 0.0
        """So long each command takes."""
        self.prints = b"installing\n"
        self.ran: list[str] = []
        self.running: list[str] = []
        self.faults = faults

    async def __call__(
        self,
        command: str,
        _folder: Path,
        _env: Mapping[str, str],
        _owner: str,
        on_start: Callable[[Identity], None],
        on_output: Callable[[bytes], None],
    ) -> int:
        self.ran.append(command)
        self.running.append(command)
        try:
            on_start(COMMAND)
            await self.faults.step(command)
            on_output(self.prints)
            if self.hangs:
                await asyncio.sleep(10_000)
            if self.works_s:
                await asyncio.sleep(self.works_s)
            if command == self.fails:
                self.fails = ""
                return 1
            return self.code
        finally:
            self.running.remove(command)


async def no_facts(_folder: Path, _env: Mapping[str, str], _owner: str, _programs: Sequence[str]) -> dict[str, str]:
    return {}


class Traffic:
    """`routed` is where new requests go; while `holding`, they wait."""

    def __init__(self, faults: Faults) -> None:
        self.routed: Upstream | None = None
        self.beside: Beside | None = None
        self.holding = False
        self.keeps = False
        self.hold_s = 0.0
        self.failures: list[Exception] = []
        """Of the next orders to route to an app."""
        self.busy = False
        """Requests are in flight and do not end."""
        self.history: list[Upstream | None] = []
        self.counted = Counts()
        """Of the next upstreams that are forgotten."""
        self._faults = faults

    async def route(self, upstream: Upstream | None, ready: Upstream | None = None) -> Counts:
        await self._faults.step("route")
        if upstream and self.failures:
            raise self.failures.pop(0)
        self.routed, self.holding = upstream, False
        if ready:
            self.beside = Beside(ready, stands_in=True)
        if self.beside and self.beside.upstream == upstream:
            self.beside = None
        self.history.append(upstream)
        await self._faults.step("routed")
        return Counts()

    async def offer(self, beside: Beside | None) -> None:
        await self._faults.step("offer")
        self.beside = beside
        await self._faults.step("offered")

    async def hold(self, limit_s: float) -> None:
        await self._faults.step("hold")
        self.hold_s = limit_s
        self.routed, self.holding = None, True

    async def drained(self, _: Upstream) -> None:
        await self._faults.step("drained")
        if self.busy:
            await asyncio.get_running_loop().create_future()

    async def unwind(self, _: Upstream, over_s: float) -> None:
        await self._faults.step(f"unwind over {over_s}")

    async def forget(self, upstream: Upstream) -> Counts:
        await self._faults.step("forget")
        if self.beside and self.beside.upstream == upstream:
            self.beside = None
        return self.counted

    async def keep(self) -> None:
        self.keeps = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.keeps = False


class Mode:
    name = "proxy"
    no_hold = ""
    stops_first = ""
    """Why no two versions can run at once, whatever they are."""

    def __init__(self, faults: Faults, traffic: Traffic) -> None:
        self.traffic = traffic
        self._faults = faults

    async def reason_to_stop_first(self, version: Version) -> str:
        await self._faults.step("reason to stop first")
        return self.stops_first or ("strategy: replace" if version.config.strategy == "replace" else "")

    async def take_minutes(self, *, current: bool) -> list[Minute]:
        await self._faults.step(f"take minutes{' and the current one' if current else ''}")
        return []

    def start_under(self, maintenance: Maintenance | None) -> None:
        self.maintenance = maintenance

    async def maintain(self, maintenance: Maintenance | None) -> None:
        await self._faults.step("maintain")
        self.maintenance = maintenance

    async def close(self) -> None:
        await self._faults.step("close")

    async def stop(self) -> None:
        await self._faults.step("stop mode")

    async def let_go(self) -> None:
        await self._faults.step("let go of mode")


class Trees:
    def __init__(self, faults: Faults, data: Path) -> None:
        self.data = data
        self.heads: dict[int, str] = {}
        self.files: dict[str, bytes] = {}
        """What each commit has as slot-machine.json."""
        self.sizes: dict[int, Size] = {}
        self.pointers: list[str] = []
        self._faults = faults

    def path(self, tree: int) -> Path:
        return self.data / f"tree-{tree}"

    async def measure(self, tree: int) -> Size | None:
        await self._faults.step("measure")
        return self.sizes.get(tree, Size(1, 1))

    async def resolve(self, commitish: str) -> str:
        await self._faults.step("resolve")
        if commitish in COMMITS.values():
            return commitish
        if commitish not in COMMITS:
            raise CommitNotFound(f"no commit {commitish}")
        return COMMITS[commitish]

    async def describe(self, commit: str) -> Description:
        await self._faults.step("describe")
        return Description(f"Subject of {commit[0]}", "Ada", "2026-01-02T03:04:05+00:00")

    async def file_at(self, commit: str, _: str) -> bytes | None:
        await self._faults.step("file at")
        return self.files.get(commit)

    async def protect(self, role: Protected, commit: str) -> None:
        await self._faults.step(f"protect {role} {commit[0]}")

    async def checkout(self, tree: int, commit: str, _: Clearing | None = None) -> None:
        self.heads.pop(tree, None)
        await self._faults.step("checkout")
        self.heads[tree] = commit

    async def check_repository(self) -> None:
        await self._faults.step("check repository")

    async def head(self, tree: int) -> str:
        await self._faults.step("head")
        return self.heads.get(tree, "")

    async def lfs_pointers(self, _tree: int) -> list[str]:
        await self._faults.step("LFS pointers")
        return self.pointers

    async def fingerprint(self, tree: int, _: Sequence[str] = ()) -> str | None:
        await self._faults.step("fingerprint")
        return self.heads.get(tree)

    async def hide(self, _tree: int, names: Sequence[str]) -> None:
        await self._faults.step(f"hide {', '.join(names)}")

    async def try_git(self, folder: Path, *args: str) -> tuple[int, str, str]:
        await self._faults.step(f"git {args[0]} in {folder.name}")
        return 0, "", ""


class Custody(custody.Custody):
    """Waits for no thread."""

    async def tell_of_forks(self, *_: object) -> None:
        await self._faults.step("forks")

    async def tell_of_stray_links(self, *_: object) -> None:
        await self._faults.step("stray links")

    def __init__(self, faults: Faults, trees: Trees, store: Store) -> None:
        super().__init__(trees, store)
        self._faults = faults


class Database(Store):
    """The real one, in memory; each writing is a step as well."""

    def __init__(self, faults: Faults, path: Path) -> None:
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.executescript(SCHEMA)
        super().__init__(db, path)
        self.unreadable: sqlite3.Error | None = None
        self._faults = faults

    def copy_to(self, other: "Database") -> None:
        self._db.backup(other._db)

    def state(self) -> State:
        if self.unreadable:
            raise self.unreadable
        return super().state()

    def _set_seal(self) -> None:
        pass

    def save_state(self, state: State, candidate: Candidate | None = None) -> None:
        self._faults.now("save state")
        super().save_state(state, candidate)

    def end_watch(self) -> None:
        self._faults.now("save the end of the watch")
        super().end_watch()

    def save_candidate(self, candidate: Candidate) -> None:
        self._faults.now("save candidate")
        super().save_candidate(candidate)

    def end_candidate(
        self, candidate: Candidate, result: Result, error: str, stage: Phase = Phase.HELD, verdict: str = ""
    ) -> bool:
        self._faults.now("save the end of the candidate")
        return super().end_candidate(candidate, result, error, stage, verdict)

    def begin_tree(self, tree: int, begun_ns: int) -> None:
        self._faults.now("begin tree")
        super().begin_tree(tree, begun_ns)

    def save_made(self, tree: int, made: Made) -> None:
        self._faults.now("save made")
        super().save_made(tree, made)

    def save_contents(self, tree: int, contents: Contents | None) -> None:
        self._faults.now("save contents")
        super().save_contents(tree, contents)

    def save_process(
        self, identity: Identity, role: Role, release_id: int = 0, run: str = "", running: Running | None = None
    ) -> None:
        self._faults.now("save process")
        super().save_process(identity, role, release_id, run, running)

    def begin(self, attempt: Attempt, handled_until: str = "") -> Attempt:
        self._faults.now("begin")
        return super().begin(attempt, handled_until)

    def save_under_way(self, attempt: Attempt, run: UnderWay) -> None:
        self._faults.now("save under way")
        super().save_under_way(attempt, run)

    def save_attempt(self, attempt: Attempt) -> None:
        self._faults.now("save attempt")
        super().save_attempt(attempt)


def without_jobs(_: Store) -> Cron:
    return Cron(cast(job_run.Machine, None), UTC)


class Evidence:
    """What is known of a new version and of an old one; what tests set in it."""

    def __init__(self, faults: Faults) -> None:
        self.of: list[tuple[Version, Version, bool]] = []
        self.new = Side()
        self.old = Side()
        self._faults = faults

    def gather(self, new: Version, old: Version, same_minutes: bool) -> "Evidence":
        self.of.append((new, old, same_minutes))
        return self

    async def look(self) -> tuple[Side, Side]:
        await self._faults.step("look")
        return self.new, self.old


class Machine(NamedTuple):
    """One app on it, wired as the daemon does that."""

    faults: Faults
    store: Database
    trees: Trees
    launcher: Launcher
    traffic: Traffic
    mode: Mode
    shell: Shell
    app: App
    supervisor: Supervisor
    deployer: Deployer
    told: list[Notice]
    evidence: Evidence

    @classmethod
    def make(
        cls,
        data: Path,
        tasks: asyncio.TaskGroup,
        faults: Faults,
        config: Mapping[str, object],
        cron: Callable[[Store], Cron] = without_jobs,
        remote: Remote | None = None,
    ) -> "Machine":
        parsed, _ = parse(json.dumps({"start_command": "app"} | dict(config)))
        store, traffic, trees = Database(faults, data / "state.db"), Traffic(faults), Trees(faults, data)
        launcher = Launcher(faults, store, data)
        mode = Mode(faults, traffic)
        custody = Custody(faults, trees, store)
        configurations = Configurations(trees, parsed, FILE_NAME, "", _has_proxy=True)
        shell, evidence = Shell(faults), Evidence(faults)
        told: list[Notice] = []
        notices = Notices("shop", {}, {"list": partial(_keep, told)}, tasks, lambda commit: store.described(commit)[0])
        given = Given(
            config=parsed.daemon,
            configurations=configurations,
            worktrees=trees,
            store=store,
            custody=custody,
            launcher=launcher,
            mode=cast(modes.Mode, mode),
            tasks=tasks,
            shell=shell,
            facts=no_facts,
            notices=notices,
            evidence=evidence.gather,
        )
        app = App(given, cron(store), Branches(faults), remote=remote)
        parts = (faults, store, trees, launcher, traffic, mode, shell, app, app.supervisor, app.deployer)
        return cls(*parts, told, evidence)

    @property
    def running(self) -> list[Run]:
        return [run for run in self.launcher.started if run.running]

    def crash(self) -> None:
        """The live app's web run ends by itself."""
        assert self.supervisor.release
        processes_of(self.supervisor.release.web).end(7)

    def close(self) -> None:
        self.store.close()


async def _keep(told: list[Notice], notice: Notice) -> None:
    told.append(notice)


def processes_of(run: Run) -> Processes:
    assert isinstance(run.session, Processes)
    return run.session


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - in this time it costs nothing
        await asyncio.sleep(0.1)


def upstream(run: Run) -> Upstream:
    address = Address("127.0.0.1", run.port)
    return Upstream(run.run_id, run.version.slot, {PUBLIC: address, INTERNAL: address})


def raising(error: Exception) -> Callable[[], NoReturn]:
    def strike() -> NoReturn:
        raise error

    return strike
