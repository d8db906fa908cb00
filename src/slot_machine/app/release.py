"""Running versions of the app: started, proven healthy, stopped."""

import asyncio
import itertools
import logging
import os
import re
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from slot_machine.core.config import Config
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Running, Version, short
from slot_machine.core.phases import Phase
from slot_machine.core.upstream import INTERNAL, PUBLIC, Address, Upstream
from slot_machine.handover.steering import MARK
from slot_machine.host.git import trees
from slot_machine.host.logs import SlotLog, SlotLogs
from slot_machine.host.network import health, ports
from slot_machine.host.network.listeners import Foreign, Listeners
from slot_machine.host.process import environment, proc
from slot_machine.host.process.containment import owner
from slot_machine.host.process.proc import Identity
from slot_machine.host.process.session import Session, describe_exit
from slot_machine.host.user import rights
from slot_machine.state.store import Store
from slot_machine.traffic.handover import Handover, handover_owner

CANDIDATE_GRACE_S = 1.0
"""What a version that never served a request gets between SIGTERM and SIGKILL."""

SHORTEST_LIMIT_S = 1.0
"""Of one question to the live app, however often it is asked."""

STOP_TRIES = 3
STOP_RETRY_S = 0.5

log = logging.getLogger(__name__)


class Processes(Protocol):
    """A run of the app, as `host.processes.Session` has it."""

    identity: Identity
    pid: int
    survivors: list[str]

    @property
    def exit_code(self) -> int | None: ...

    async def exited(self) -> int: ...

    def members(self) -> list[int]: ...

    async def stop(self, grace_s: float, /) -> bool: ...

    async def kill(self) -> None: ...

    def reap(self) -> None: ...


class Release:
    """One start of a version: its processes and where they listen. `upstream` is set once it is healthy.

    `number` is that of its upstream.
    """

    def __init__(self, session: Processes, what: Running, store: Store, listeners: Listeners | None = None) -> None:
        self.version = what.version
        self.session = session
        self.listeners = listeners or Listeners(session)
        self.number = what.number
        self.port = what.port
        self.internal_port = what.internal_port
        self.started_s = time.monotonic()
        self.upstream = what.upstream
        self._store = store

    @property
    def running(self) -> bool:
        return self.session.exit_code is None

    def save(self) -> None:
        """For a daemon that finds it when this one is gone."""
        what = Running(self.version, self.number, self.port, self.internal_port, self.upstream)
        self._store.save_process(self.session.identity, "app", what)

    async def stop(self, grace_s: float) -> bool:
        """Ends every process of it. Returns whether that took a SIGKILL.

        Whatever fails is tried again and logged: a version that is replaced must not cost the one that replaces it.
        """
        try:
            return await self._ended(lambda: self.session.stop(max(grace_s, 0)))
        except asyncio.CancelledError:
            await self._ended(self._killed)
            raise
        finally:
            self._store.remove_process(self.session.identity)

    async def _ended(self, end: Callable[[], Awaitable[bool]]) -> bool:
        for _ in range(STOP_TRIES):
            try:
                return await end()
            except Exception as error:  # noqa: BLE001 - see `stop`
                log.error("cannot end %s, trying again: %s", describe(self.version), error)
            end = self._killed
            await asyncio.sleep(STOP_RETRY_S)
        self.session.reap()
        log.error("gave up ending %s: end session %d by hand", describe(self.version), self.session.pid)
        return True

    async def _killed(self) -> bool:
        await self.session.kill()
        return True


class Launcher:
    """Starts versions of the app. With `handover` the app owns its public port, else each start gets fresh ones."""

    def __init__(self, config: Config, folder: Path, data: Path, store: Store, handover: Handover | None) -> None:
        self._config = config
        self._env_file = folder / config.env_file if config.env_file else None
        self._data = data
        self._store = store
        self._handover = handover
        self._known: set[int] = set()
        self.logs = SlotLogs(data, config.log_max_mb * 1_000_000, config.log_keep)
        # Unique beyond this daemon: a data plane can outlive it.
        self._upstream_ids = itertools.count(secrets.randbits(52))

    async def launch(
        self, version: Version, on_started: Callable[[], None] = lambda: None, *, beside: bool = False
    ) -> Release:
        """Starts a version, `beside` a live one or not, and waits until it is healthy.

        Raises StageFailed, and Unsteerable or KeeperGone if it could only run without the live one on the same port.
        Then nothing of it runs.
        """
        self._store.reserve.give_up_if_full()
        slot_log = self.open_log(version, Phase.START)
        try:
            release = self._start(version, slot_log, beside)
            try:
                _save(release, Phase.START)
                on_started()
                await self._become_healthy(release, slot_log, beside)
            except BaseException as error:
                await release.stop(min(CANDIDATE_GRACE_S, self._config.drain_timeout_s))
                if self._handover and beside and not isinstance(error, asyncio.CancelledError):
                    await self._handover.check(release.number)
                raise
        finally:
            slot_log.close()
        return release

    def left_running(self) -> list[Release]:
        """What an earlier daemon started and is still there, if only in part; the latest first."""
        return [
            self._release(Session.adopt(identity), what)
            for identity, _, what in self._store.processes()
            if what is not None
        ]

    async def probe(self, release: Release) -> health.Answer:
        """Asks a healthy release for its health once more. Raises OSError where it could not be asked."""
        assert release.upstream is not None
        if foreign := self._foreign(release):
            return health.Answer(0, f"nothing of its own ({foreign})")
        address = release.upstream.addresses[INTERNAL]
        limit_s = min(max(self._config.health_interval_s, SHORTEST_LIMIT_S), health.PROBE_TIMEOUT_S)
        return await health.probe(address.host, address.port, self._config.health_endpoint, limit_s)

    def dropped_variables(self, version: Version, stage: Phase) -> list[str]:
        """Names of `env_file` that do not get past the shell. Raises StageFailed if it is bad."""
        return environment.dropped_by_the_shell(self.environment(version, stage, {}))

    def fits(self, release: Release) -> bool:
        """Whether it is of use in this traffic mode, and does not run as root where a user is named."""
        if rights.other() and os.geteuid() in proc.uids(release.session.pid):
            return False
        owns_its_port = (release.port, release.internal_port) == (self._config.port, self._config.internal_port)
        if owns_its_port is not (self._handover is not None):
            return False
        if foreign := self._foreign(release):
            log.error("%s can't go on: %s", describe(release.version), foreign)
        return not foreign

    def check(self, release: Release) -> None:
        """Right before a healthy release is switched to. Raises StageFailed if another program listens in its place."""
        if foreign := self._foreign(release):
            raise StageFailed(Phase.SWITCH, str(foreign), hint=foreign.hint)

    def open_log(self, version: Version, stage: Phase) -> SlotLog:
        """Raises StageFailed."""
        try:
            return self.logs.open(version.slot)
        except OSError as error:
            raise StageFailed(stage, f"cannot open the log of slot {version.slot}: {error}") from error

    def environment(self, version: Version, stage: Phase, app_ports: dict[str, int]) -> dict[str, str]:
        return environment.compose(version, self._env_file, app_ports, stage.stage)

    def _start(self, version: Version, slot_log: SlotLog, beside: bool) -> Release:
        try:
            port, internal_port = self._ports(beside)
        except OSError as error:
            raise StageFailed(Phase.START, f"cannot find a port for the app: {error}") from error
        number = next(self._upstream_ids)
        env = self.environment(version, Phase.START, {"PORT": port, "INTERNAL_PORT": internal_port})
        argv = ["/bin/sh", "-c", self._config.start_command]
        folder, fd = self._data / trees.name(version.tree), slot_log.fd
        try:
            if self._handover:
                session = self._handover.launch(argv, number, {port, internal_port}, cwd=folder, env=env, output=fd)
            else:
                session = Session.start(argv, cwd=folder, env=env, output=fd, owner=owner(self._data))
        except (OSError, ValueError) as error:
            raise StageFailed(Phase.START, f"cannot start the app: {error}") from error
        return self._release(session, Running(version, number, port, internal_port))

    def _release(self, session: Session, what: Running) -> Release:
        """Where the port is handed over, versions share it, and so does the process that does that."""
        if not self._handover:
            return Release(session, what, self._store)
        siblings = (f"{owner(self._data)}-", f"{handover_owner(self._data)}-")
        return Release(session, what, self._store, Listeners(session, siblings, self._known))

    def _foreign(self, release: Release) -> Foreign | None:
        assert release.upstream is not None
        try:
            for address in release.upstream.addresses.values():
                release.listeners.at(address.host, address.port)
        except Foreign as foreign:
            return foreign
        return None

    def _ports(self, beside: bool) -> tuple[int, int]:
        config = self._config
        separate = config.internal_port != config.port
        if not self._handover:
            port = ports.fresh({config.port, config.internal_port, config.api_port})
            return port, ports.fresh({port, config.port, config.internal_port, config.api_port}) if separate else port
        for port in {config.port, config.internal_port}:
            if not beside and not ports.is_free(port):
                by = ports.holder(port) or "another program"
                raise StageFailed(Phase.START, f"port {port} is in use by {by}, so the app can't have it")
        return config.port, config.internal_port

    async def _become_healthy(self, release: Release, slot_log: SlotLog, beside: bool) -> None:
        config = self._config
        # Nothing stands in front of a port of the app's own, so it need not listen there to be of use.
        also = release.internal_port if self._handover else release.port

        async def reachable() -> None:
            """Until then, the live version would answer."""
            if self._handover and beside:
                await self._handover.listens(release.number)

        try:
            hosts = await health.wait_healthy(
                release.session,
                release.listeners,
                release.internal_port,
                config.health_endpoint,
                also,
                config.health_timeout_s,
                reachable,
                MARK if self._handover and beside else 0,
            )
        except Foreign as other:
            raise StageFailed(Phase.HEALTH, str(other), slot_log.tail(), other.hint) from None
        except health.Exited as exited:
            hint = f"its output is in {slot_log.path}"
            if exited.code == 0:
                hint = f"start_command must stay in the foreground; {hint}"
            message = f"the app exited while it booted: {describe_exit(exited.code)}"
            if foreign := _taken(release):
                message, hint = f"{message}; {foreign}", foreign.hint
            raise StageFailed(Phase.HEALTH, message, slot_log.tail(), hint) from None
        except health.Unhealthy as error:
            hint = f"its output is in {slot_log.path}"
            output = slot_log.tail(without=_naming(config.health_endpoint))
            raise StageFailed(Phase.HEALTH, str(error), output, hint) from None
        internal = Address(hosts[release.internal_port], release.internal_port)
        public = Address(hosts[also], release.port)
        release.upstream = Upstream(release.number, release.version.slot, {PUBLIC: public, INTERNAL: internal})
        _save(release, Phase.HEALTH)


def _taken(release: Release) -> Foreign | None:
    """Who keeps an app from its ports, if it is another program."""
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
    """Lines of an access log about that: `"GET /healthz HTTP/1.1" 503`, with or without host, port and quotes."""
    return re.compile(rf"""(^|[\s"'=:([]|:\d+){re.escape(endpoint)}($|[\s"',;)\]?&#])""")


def describe(version: Version) -> str:
    return f"{short(version.commit)} in slot {version.slot}"
