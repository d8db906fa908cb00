"""Starts versions of the app, and waits until they are healthy."""

import asyncio
import itertools
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path

from slot_machine.app.release import Release, describe
from slot_machine.core.config import DaemonConfig, VersionConfig
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Running, Version
from slot_machine.core.phases import Phase
from slot_machine.core.upstream import INTERNAL, PUBLIC, Address, Upstream
from slot_machine.host.git import trees
from slot_machine.host.logs import SlotLog, SlotLogs
from slot_machine.host.network import health, ports
from slot_machine.host.network.health import Probe
from slot_machine.host.network.listeners import Foreign
from slot_machine.host.process import environment, proc
from slot_machine.host.process.session import Session, describe_exit
from slot_machine.host.user import rights
from slot_machine.state.store import Store
from slot_machine.traffic.mode import Mode, Start

CANDIDATE_GRACE_S = 1.0
"""What a version that never served a request gets between SIGTERM and SIGKILL."""

SHORTEST_LIMIT_S = 1.0
"""Of one health check of the live app, however short the interval between two is."""

log = logging.getLogger(__name__)


class Launcher:
    def __init__(
        self, config: VersionConfig, daemon: DaemonConfig, folder: Path, data: Path, store: Store, mode: Mode
    ) -> None:
        """`env_file` is relative to `folder`."""
        self._config = config
        self._env_file = folder / daemon.env_file if daemon.env_file else None
        self._data = data
        self._store = store
        self._mode = mode
        self.logs = SlotLogs(data, daemon.log_max_mb * 1_000_000, daemon.log_keep)
        # A data plane can outlive this daemon, so the ids of two daemons must not be the same.
        self._run_ids = itertools.count(secrets.randbits(52))

    async def launch(self, version: Version, on_started: Callable[[], None] = lambda: None) -> Release:
        """Starts a version while no other one runs, and waits until it is healthy.

        Raises StageFailed; then nothing of it runs.
        """
        return await self._launch(version, on_started, self._mode.start)

    async def launch_beside(self, version: Version, on_started: Callable[[], None] = lambda: None) -> Release:
        """Like `launch`, while the live version serves.

        Raises also Unsteerable or KeeperGone, if the version could start only after the live one has stopped.
        """
        return await self._launch(version, on_started, self._mode.start_beside)

    def left_running(self) -> list[Release]:
        """The releases of which an earlier daemon left processes running; the latest first."""
        return [self._release(Session.adopt(identity), what) for identity, *_, what in self._store.processes() if what]

    async def probe(self, release: Release) -> health.Answer:
        """One health check of a release that has been healthy. Raises OSError where it could not be sent."""
        assert release.upstream is not None
        if foreign := _foreign(release):
            return health.Answer(0, f"nothing of its own ({foreign})")
        address = release.upstream.addresses[INTERNAL]
        limit_s = min(max(self._config.health_interval_s, SHORTEST_LIMIT_S), health.PROBE_TIMEOUT_S)
        return await health.ask_once(address.host, address.port, self._config.health_endpoint, limit_s)

    def dropped_variables(self, version: Version, stage: Phase) -> list[str]:
        """Names of `env_file` that /bin/sh does not hand on. Raises StageFailed if the file is bad."""
        return environment.dropped_by_the_shell(self.environment(version, stage, {}))

    def can_adopt(self, release: Release) -> bool:
        """Whether it can serve in this traffic mode, and does not run as root where a user is named."""
        if rights.other() and os.geteuid() in proc.uids(release.session.pid):
            return False
        if not self._mode.can_adopt(release.port, release.internal_port):
            return False
        if foreign := _foreign(release):
            log.error("%s can't go on: %s", describe(release.version), foreign)
        return not foreign

    def check(self, release: Release) -> None:
        """Raises StageFailed if another program listens where the release should."""
        if foreign := _foreign(release):
            raise StageFailed(Phase.SWITCH, str(foreign), hint=foreign.hint)

    def open_log(self, version: Version, stage: Phase) -> SlotLog:
        """Raises StageFailed."""
        try:
            return self.logs.open(version.slot)
        except OSError as error:
            raise StageFailed(stage, f"cannot open the log of slot {version.slot}: {error}") from error

    def environment(self, version: Version, stage: Phase, app_ports: dict[str, int]) -> dict[str, str]:
        """Raises StageFailed."""
        return environment.compose(version, self._env_file, app_ports, stage.stage)

    async def _launch(
        self, version: Version, on_started: Callable[[], None], arrange: Callable[[int], Start]
    ) -> Release:
        self._store.reserve.give_up_if_full()
        slot_log = self.open_log(version, Phase.START)
        try:
            start = self._arranged(arrange)
            release = self._started(version, start, slot_log)
            try:
                _save(release, Phase.START)
                on_started()
                await self._become_healthy(release, start, slot_log)
            except BaseException as error:
                await release.stop(min(CANDIDATE_GRACE_S, self._config.drain_timeout_s))
                if not isinstance(error, asyncio.CancelledError):
                    await start.explain_failure()
                raise
        finally:
            slot_log.close()
        return release

    def _arranged(self, arrange: Callable[[int], Start]) -> Start:
        try:
            return arrange(next(self._run_ids))
        except OSError as error:
            raise StageFailed(Phase.START, f"cannot find a port for the app: {error}") from error

    def _started(self, version: Version, start: Start, slot_log: SlotLog) -> Release:
        env = self.environment(version, Phase.START, {"PORT": start.port, "INTERNAL_PORT": start.internal_port})
        argv = ["/bin/sh", "-c", self._config.start_command]
        folder = self._data / trees.name(version.tree)
        try:
            session = self._mode.spawn(start, argv, cwd=folder, env=env, output=slot_log.fd)
        except (OSError, ValueError) as error:
            raise StageFailed(Phase.START, f"cannot start the app: {error}") from error
        return self._release(session, Running(version, start.run_id, start.port, start.internal_port))

    def _release(self, session: Session, what: Running) -> Release:
        return Release(session, what, self._store, self._mode.listeners(session))

    async def _become_healthy(self, release: Release, start: Start, slot_log: SlotLog) -> None:
        """Raises StageFailed, and what `start.reachable` raises."""
        config = self._config
        try:
            hosts = await health.wait_healthy(
                release.session,
                release.listeners,
                Probe(start.internal_port, config.health_endpoint, begin=start.reachable, tos=start.tos),
                start.required_port,
                config.health_timeout_s,
            )
        except Foreign as foreign:
            raise StageFailed(Phase.HEALTH, str(foreign), slot_log.tail(), foreign.hint) from None
        except health.Exited as exited:
            raise _exited(release, exited.code, slot_log) from None
        except health.Unhealthy as error:
            output = slot_log.tail(without=_naming(config.health_endpoint))
            raise StageFailed(Phase.HEALTH, str(error), output, f"its output is in {slot_log.path}") from None
        internal = Address(hosts[start.internal_port], start.internal_port)
        public = Address(hosts[start.required_port], start.port)
        release.upstream = Upstream(start.run_id, release.version.slot, {PUBLIC: public, INTERNAL: internal})
        _save(release, Phase.HEALTH)


def _exited(release: Release, code: int, slot_log: SlotLog) -> StageFailed:
    message, hint = f"the app exited while it booted: {describe_exit(code)}", f"its output is in {slot_log.path}"
    if code == 0:
        hint = f"start_command must stay in the foreground; {hint}"
    if foreign := _taken(release):
        message, hint = f"{message}; {foreign}", foreign.hint
    return StageFailed(Phase.HEALTH, message, slot_log.tail(), hint)


def _foreign(release: Release) -> Foreign | None:
    """Another program's socket where a release that has been healthy should listen."""
    assert release.upstream is not None
    try:
        for address in release.upstream.addresses.values():
            release.listeners.at(address.host, address.port)
    except Foreign as foreign:
        return foreign
    return None


def _taken(release: Release) -> Foreign | None:
    """Another program's socket on a port of the release, whether it listens or is only bound."""
    try:
        for port in (release.port, release.internal_port):
            for host in ports.HOSTS:
                release.listeners.at(host, port, ports.HELD)
    except Foreign as foreign:
        return foreign
    return None


def _save(release: Release, stage: Phase) -> None:
    """Raises StageFailed."""
    try:
        release.save()
    except sqlite3.Error as error:
        raise StageFailed(stage, f"cannot write the database: {error}") from error


def _naming(endpoint: str) -> re.Pattern[str]:
    """Matches a line of an access log that names it: `"GET /healthz HTTP/1.1" 503`, also with host and port."""
    return re.compile(rf"""(^|[\s"'=:([]|:\d+){re.escape(endpoint)}($|[\s"',;)\]?&#])""")
