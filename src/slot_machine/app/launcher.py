"""Starts versions of the app, and waits until they are healthy."""

import asyncio
import itertools
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from slot_machine.app import another_port
from slot_machine.app.another_port import OnTaken, log_it
from slot_machine.app.diagnosis import Boot
from slot_machine.app.failures import going_on
from slot_machine.app.release import Release, describe, releases_of
from slot_machine.app.run import Run
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import PortTaken, StageFailed
from slot_machine.core.limits import limits_of
from slot_machine.core.masking import Masking
from slot_machine.core.model import WEB, Running, Version
from slot_machine.core.phases import Phase
from slot_machine.core.side_runs import SideRun
from slot_machine.core.upstream import INTERNAL, PREVIEW, PUBLIC, Address, Upstream
from slot_machine.host.git import trees
from slot_machine.host.logs import SlotLog, SlotLogs
from slot_machine.host.network import health, probe
from slot_machine.host.network.listeners import Foreign
from slot_machine.host.network.probe import Answer, Probe
from slot_machine.host.process import env_file, environment, proc
from slot_machine.host.process.containment import owner
from slot_machine.host.process.session import Session
from slot_machine.host.user import rights
from slot_machine.state.store import Store
from slot_machine.traffic.mode import Mode, Start

CANDIDATE_GRACE_S = 1.0
"""What a version that never served a request gets between SIGTERM and SIGKILL."""

SHORTEST_LIMIT_S = 1.0
"""A health check of the live app may take at least this long, even if the interval between two is shorter."""

REHEARSAL = (("Slot-Machine-Rehearsal", "1"),)
"""By this field an app can tell that no visitor asks."""
MOST_OF_A_PAGE = 1_000_000

log = logging.getLogger(__name__)


class Launcher:
    def __init__(self, config: DaemonConfig, folder: Path, data: Path, store: Store, mode: Mode) -> None:
        """`env_file` is relative to `folder`."""
        self._config = config
        self.env_file = folder / config.env_file if config.env_file else None
        self._data = data
        self._store = store
        self._mode = mode
        self.logs = SlotLogs(data, config.log_max_mb * 1_000_000, config.log_keep)
        self.masking = Masking()
        self._learn_values()
        # A data plane can outlive this daemon, so the ids of two daemons must not be the same.
        self._run_ids = itertools.count(secrets.randbits(52))

    async def launch(
        self, version: Version, on_started: Callable[[], None] = lambda: None, on_taken: OnTaken = log_it
    ) -> Release:
        """Starts a version while no other one runs, and waits until it is healthy.

        If another program has its port, it is started again, on another port (`another_port`). Raises StageFailed; then
        nothing of it runs.
        """
        return Release(version, await self._launch(version, 0, on_started, on_taken, self._mode.start))

    async def launch_beside(
        self, version: Version, on_started: Callable[[], None] = lambda: None, on_taken: OnTaken = log_it
    ) -> Release:
        """Like `launch`, while the live version serves.

        Raises also Unsteerable or KeeperGone, if the version could start only after the live one has stopped.
        """
        return Release(version, await self._launch(version, 0, on_started, on_taken, self._mode.start_beside))

    async def restart(self, release: Release, on_taken: OnTaken = log_it) -> Run:
        """Starts the web run of a live release again, while others go on. Raises StageFailed; then it does not run."""
        return await self._launch(release.version, release.release_id, lambda: None, on_taken, self._mode.start)

    async def start_side_run(self, release: Release, side: SideRun) -> Run:
        """Starts a run beside the web run of a live release. Raises StageFailed; then it does not run."""
        version = release.version
        self._store.reserve.give_up_if_full()
        env = self.environment(version, Phase.START, {}) | side.variables
        argv, folder = ["/bin/sh", "-c", side.process.command], self._folder(version)
        slot_log = self.open_log(version, Phase.START, side.run)
        try:
            session = Session.start(argv, cwd=folder, env=env, output=slot_log.fd, owner=owner(self._data))
        except (OSError, ValueError) as error:
            raise StageFailed(Phase.START, f"cannot start {side.run}: {error}") from error
        finally:
            slot_log.close()
        run_id = next(self._run_ids)
        run = self._run(side.run, release.release_id or run_id, session, Running(version, run_id))
        run.last_lines = slot_log.tail
        self._mark_start(run, slot_log)
        try:
            _save(run, Phase.START)
        except StageFailed:
            await run.stop(0)
            raise
        return run

    def left_running(self) -> list[Release]:
        """The releases of which an earlier daemon left processes running; the latest first."""
        return releases_of(self._left(retiring=False))

    def left_retiring(self) -> list[Run]:
        """The side runs that an earlier daemon has told to end."""
        return list(self._left(retiring=True))

    def _left(self, *, retiring: bool) -> Iterator[Run]:
        for identity, _, release_id, run, what in self._store.processes():
            if what and (what.retiring is not None) == retiring:
                yield self._run(run, release_id, Session.adopt(identity), _with_health_path(what))

    async def probe(self, release: Release) -> Answer:
        """One health check of a release that has been healthy. Raises OSError where it could not be sent."""
        assert release.upstream is not None
        if foreign := _foreign(release):
            return Answer(0, f"nothing of its own ({foreign})")
        address = release.upstream.addresses[INTERNAL]
        limit_s = min(max(self._config.health_interval_s, SHORTEST_LIMIT_S), health.PROBE_TIMEOUT_S)
        return await probe.ask_once(address.host, _question(release.version, address.port), limit_s)

    async def ask(self, release: Release, path: str, limit_s: float, *, candidate: bool) -> Answer:
        """For a page of a release that has been healthy, as its visitors would. Raises OSError as `probe` does."""
        assert release.upstream is not None
        address = release.upstream.addresses[PUBLIC]
        tos = self._mode.candidate_tos if candidate else 0
        host = self._config.visitors_host or release.version.config.health_host
        question = Probe(address.port, path, host_field=host, tos=tos, fields=REHEARSAL, most_body=MOST_OF_A_PAGE)
        return await probe.ask_once(address.host, question, limit_s)

    def env_file_digest(self) -> str:
        """Changes when its variables do. Differs from every other one if the file is bad."""
        return environment.digest(self.env_file)

    def dropped_variables(self, version: Version, stage: Phase) -> list[str]:
        """Names of `env_file` that /bin/sh does not hand on. Raises StageFailed if the file is bad."""
        return environment.dropped_by_the_shell(self.environment(version, stage, {}))

    def can_adopt(self, release: Release) -> bool:
        """Whether it can serve in this traffic mode, on sockets of its own, and is not root's though `user` is set."""
        if rights.other() and any(os.geteuid() in proc.uids(run.session.pid) for run in release.runs.values()):
            return False
        if not self._mode.can_adopt(release.web.port, release.web.internal_port):
            return False
        if foreign := _foreign(release):
            log.error("%s can't go on: %s", describe(release.version), foreign)
        return not foreign

    def check(self, release: Release) -> None:
        """Raises StageFailed if another program listens where the release should."""
        if foreign := _foreign(release):
            raise StageFailed(Phase.SWITCH, str(foreign), hint=foreign.hint)

    def open_log(self, version: Version, stage: Phase, run: str = WEB) -> SlotLog:
        """Raises StageFailed."""
        try:
            return self.logs.open(version.slot, run)
        except OSError as error:
            raise StageFailed(stage, f"cannot open the log of slot {version.slot}: {error}") from error

    def environment(self, version: Version, stage: Phase, app_ports: dict[str, int]) -> dict[str, str]:
        """Raises StageFailed."""
        self._learn_values()
        own = {
            "SLOT_MACHINE_SHARED": str(self._data / "shared"),
            "SLOT_MACHINE_LIVE_FILE": str(self._data / trees.LIVE_FILE),
        }
        return environment.compose(version, self.env_file, app_ports, stage.stage) | own

    def _learn_values(self) -> None:
        """Before a command gets them and can print them."""
        if self.env_file:
            with suppress(*environment.UNREADABLE):
                self.masking.learn(env_file.read_env_file(self.env_file))

    async def _launch(
        self,
        version: Version,
        release_id: int,
        on_started: Callable[[], None],
        on_taken: OnTaken,
        arrange: Callable[[int], Start],
    ) -> Run:
        once = partial(self._launch_once, version, release_id, on_started, arrange)
        return await (another_port.started(once, version, on_taken) if self._mode.draws_ports else once())

    async def _launch_once(
        self, version: Version, release_id: int, on_started: Callable[[], None], arrange: Callable[[int], Start]
    ) -> Run:
        """`release_id` is 0 for the first run of a release."""
        self._store.reserve.give_up_if_full()
        slot_log = self.open_log(version, Phase.START)
        try:
            start = self._arranged(arrange)
            # Read first: if the file changes meanwhile, the run counts as one that does not have the change.
            digest = self.env_file_digest()
            env = self.environment(version, Phase.START, {"PORT": start.port, "INTERNAL_PORT": start.internal_port})
            run = self._started(version, release_id or start.run_id, start, slot_log, env)
            run.env_digest = digest
            run.last_lines = slot_log.tail
            self._mark_start(run, slot_log)
            try:
                _save(run, Phase.START)
                on_started()
                await self._become_healthy(run, start, self._boot(run, slot_log, env))
            except BaseException as error:
                await run.stop(min(CANDIDATE_GRACE_S, version.config.drain_timeout_s))
                if not isinstance(error, asyncio.CancelledError):
                    await start.explain_failure()
                raise
        finally:
            slot_log.close()
        return run

    def _arranged(self, arrange: Callable[[int], Start]) -> Start:
        try:
            return arrange(next(self._run_ids))
        except OSError as error:
            raise StageFailed(Phase.START, f"cannot find a port for the app: {error}") from error

    def _started(
        self, version: Version, release_id: int, start: Start, slot_log: SlotLog, env: Mapping[str, str]
    ) -> Run:
        argv = ["/bin/sh", "-c", version.config.start_command]
        folder = self._folder(version)
        try:
            session = self._mode.spawn(start, argv, cwd=folder, env=env, output=slot_log.fd)
        except (OSError, ValueError) as error:
            raise StageFailed(Phase.START, f"cannot start the app: {error}") from error
        return self._run(WEB, release_id, session, Running(version, start.run_id, start.port, start.internal_port))

    def _run(self, name: str, release_id: int, session: Session, what: Running) -> Run:
        self._limit(name, session, what.version)
        slot, listeners = what.version.slot, self._mode.listeners(session)
        last_lines = partial(self.logs.last_lines, slot, name)
        on_end = partial(self.logs.ended, slot, name)
        path = self.logs.file(slot, name).path
        return Run(name, release_id, session, what, self._store, path, listeners, last_lines, on_end)

    def _mark_start(self, run: Run, slot_log: SlotLog) -> None:
        self.logs.started(run.version.slot, run.name, run.version.commit, run.session.pid, slot_log.begin)

    def _limit(self, name: str, session: Session, version: Version) -> None:
        """Right after its start; for a run that was taken over, by the configuration of now."""
        limits = limits_of(name, self._config, version.config)
        with going_on(f"cannot limit {name} of {describe(version)}"):
            if not session.limit(limits.hard_bytes, limits.cpu_weight):
                log.info("%s has no control group for its memory, so only memory_max_mb holds", name)

    def _folder(self, version: Version) -> Path:
        return self._data / trees.name(version.tree) / version.config.root

    def _boot(self, run: Run, slot_log: SlotLog, env: Mapping[str, str]) -> Boot:
        config = self._config
        our_ports = frozenset({config.port, config.internal_port, config.api_port, config.preview_port} - {0})
        return Boot(run, slot_log, self._folder(run.version), env, our_ports)

    async def _become_healthy(self, run: Run, start: Start, boot: Boot) -> None:
        """Raises StageFailed, and what `start.reachable` raises."""
        question = _question(run.version, start.internal_port)._replace(begin=start.reachable, tos=start.tos)
        limit_s = run.version.config.health_timeout_s
        try:
            hosts = await health.wait_healthy(run.session, run.listeners, question, start.required_port, limit_s)
        except Foreign as foreign:
            raise PortTaken(Phase.HEALTH, str(foreign), boot.log.tail(), foreign.hint) from None
        except health.Exited as exited:
            raise boot.exited(exited.code) from None
        except health.Unhealthy as error:
            raise boot.unhealthy(error, question) from None
        internal = Address(hosts[start.internal_port], start.internal_port)
        public = Address(hosts[start.required_port], start.port)
        addresses = {PUBLIC: public, INTERNAL: internal, PREVIEW: public}
        run.upstream = Upstream(start.run_id, run.version.slot, addresses, question.endpoint)
        _save(run, Phase.HEALTH)


def _with_health_path(what: Running) -> Running:
    """For a run that an earlier release has started."""
    if not what.upstream or what.upstream.health_path:
        return what
    path = what.version.config.health_endpoint
    return msgspec.structs.replace(what, upstream=msgspec.structs.replace(what.upstream, health_path=path))


def _question(version: Version, port: int) -> Probe:
    config = version.config
    return Probe(port, config.health_endpoint, config.healthy_statuses, config.health_host)


def _foreign(release: Release) -> Foreign | None:
    """Another program's socket where a release that has been healthy should listen."""
    assert release.upstream is not None
    try:
        for address in dict.fromkeys(release.upstream.addresses.values()):
            release.web.listeners.at(address.host, address.port)
    except Foreign as foreign:
        return foreign
    return None


def _save(run: Run, stage: Phase) -> None:
    """Raises StageFailed."""
    try:
        run.save()
    except sqlite3.Error as error:
        raise StageFailed(stage, f"cannot write the database: {error}") from error
