"""One worker: the daemon starts or adopts it, asks it, and replaces it when it ends."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from slot_machine.core.errors import DataPlaneGone
from slot_machine.core.minutes import Minute
from slot_machine.core.upstream import Counts
from slot_machine.host.network.control_socket import listening
from slot_machine.host.process import environment, proc, python
from slot_machine.host.process.containment import mark_of, owner
from slot_machine.host.process.exits import describe_exit
from slot_machine.host.process.session import Session
from slot_machine.proxy import gauge, remote
from slot_machine.proxy.remote import Introduction, introduce
from slot_machine.proxy.wire import Measure, Op, Reply, Retire, Route, Settings, Take

log = logging.getLogger(__name__)

STOP_GRACE_S = 1.0
ANSWER_S = 2.0
HUNG_S = 10.0
"""A worker that does not confirm a route within this time is killed."""
FIRST_ANSWER_S = 30.0
"""A worker that has just begun is killed if it does not answer within this time."""
TRIES = 2
SHORT_LIFE_S = 1.0
"""If a worker ends sooner than this after its start, the next one is started only after this time."""

BUFFERS_KEPT = {"MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "16777216"}
"""In bytes; see mallopt(3). The buffers of large replies are kept: the kernel would clear returned memory again."""


class Left(NamedTuple):
    """A worker that an earlier daemon left running."""

    path: Path
    session: Session
    introduction: Introduction


def left_running(data: Path) -> list[Left]:
    """The workers that can be taken over. Their mark says that a daemon of this data folder started them."""
    found = []
    for path in sorted(data.glob("proxy-*.sock")):
        introduction = introduce(path)
        mark = mark_of(introduction.pid) if introduction else ""
        if introduction and mark.startswith(owner(data)) and proc.uids(introduction.pid) == {os.geteuid()}:
            session = Session.adopt(proc.identify(introduction.pid, mark), contained=False)
            found.append(Left(path, session, introduction))
        else:
            path.unlink(missing_ok=True)
    return found


class Worker:
    """One data-plane process at a time, on one control socket. `settings` is called for each start.

    `lost` counts the requests that were in flight in processes that ended by themselves. With `to_end`, no other
    process is started.
    """

    def __init__(
        self,
        path: Path,
        listeners: Mapping[str, socket.socket],
        settings: Callable[[], Settings],
        app: str,
    ) -> None:
        self._app = app
        self.restarts = 0
        self.lost = 0
        self._path = path
        self._listeners = listeners
        self._settings = settings
        self._session: Session | None = None
        self._connection: remote.Connection | None = None
        self._gauge_fd = -1
        self._up = asyncio.Event()
        self._counts_minutes = True
        self.to_end = False

    @property
    def pid(self) -> int:
        """0 while no process runs."""
        return self._session.pid if self._session and self._up.is_set() else 0

    async def begin(self) -> Exception | None:
        """Starts a process, in at most TRIES attempts. Returns the error if all of them failed."""
        failure = None
        for _ in range(TRIES):
            try:
                await self.start()
            except Exception as error:  # noqa: BLE001 - whatever it is, the other workers go on
                failure = error
            else:
                return None
        return failure

    async def start(self) -> None:
        """Raises DataPlaneGone, OSError."""
        if self._session:
            await self._session.kill()
            self._session = None
        if self._connection:
            await self._connection.disconnect()
        self._forget_gauge()
        self._gauge_fd = gauge.create()
        self._counts_minutes = True
        with listening(self._path) as control:
            settings = msgspec.structs.replace(
                self._settings(),
                control_fd=control.fileno(),
                gauge_fd=self._gauge_fd,
                listener_fds={name: listener.fileno() for name, listener in self._listeners.items()},
            )
            self._session = self._spawn(settings)
        await self._connect()

    def _spawn(self, settings: Settings) -> Session:
        """Raises OSError."""
        number = self._path.stem.rpartition("-")[2]
        settings_fd = settings.passed()
        try:
            return Session.start(
                python.module("slot_machine.proxy", str(settings_fd), self._app, number),
                cwd=python.FOLDER,
                env={**BUFFERS_KEPT, **environment.inherited()},
                output=sys.stderr.fileno(),
                owner=owner(self._path.parent),
                pass_fds=(settings_fd, settings.control_fd, settings.gauge_fd, *settings.listener_fds.values()),
                contained=False,
                as_daemon=True,
            )
        finally:
            os.close(settings_fd)

    async def take_over(self, left: Left) -> None:
        """Uses a process that an earlier daemon started, instead of a new one."""
        self._session = left.session
        self._gauge_fd = left.introduction.gauge_fd
        self._counts_minutes = left.introduction.settings.minutes
        with suppress(DataPlaneGone):
            await self._connect()

    async def retire(self) -> None:
        """The process accepts nothing more, and exits when its last connection ends."""
        self.to_end = True
        await self.ask(Retire())

    async def keep(self) -> None:
        """Starts another process whenever one ends, until `to_end` is set."""
        while True:
            began_s = time.monotonic()
            try:
                await self._ended()
                if time.monotonic() - began_s < SHORT_LIFE_S and not self.to_end:
                    await asyncio.sleep(SHORT_LIFE_S)
                if self.to_end:
                    self._clean_up()
                    return
                self.restarts += 1
                await self.start()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                log.error("cannot start the data plane: %s", error)
                await asyncio.sleep(SHORT_LIFE_S)

    async def _ended(self) -> None:
        """Waits until the process ends. Tries to connect meanwhile if there is no connection."""
        session = self._session
        if not session:
            return
        while not self._up.is_set() and session.exit_code is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SHORT_LIFE_S):
                    await session.exited()
                    break
            with suppress(DataPlaneGone):
                await self._connect()
        code = await session.exited()
        self._up.clear()
        lost = gauge.read(self._gauge_fd) if self._gauge_fd >= 0 else 0
        self.lost += lost
        if not self.to_end:
            log.error("the data plane ended, %d requests were in flight: %s", lost, describe_exit(code))
        session.reap()
        self._session = None

    async def route(self, order: Route) -> Counts:
        """Waits until the process has confirmed. One that hangs is killed: the next one starts with this route."""
        try:
            async with asyncio.timeout(HUNG_S):
                return await self._route(order)
        except TimeoutError:
            self._end_hung()
            return Counts()

    async def _route(self, order: Route) -> Counts:
        while self._session or not self.to_end:
            await self._up.wait()
            connection = self._connection
            assert connection
            try:
                return (await connection.call(order)).counts or Counts()
            except DataPlaneGone:
                if connection is self._connection:
                    self._up.clear()
        return Counts()

    async def tell(self, order: Op) -> None:
        """As `ask`. A process that has just begun may have older settings: it is told as soon as it listens."""
        if self._session and not self._up.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(HUNG_S):
                    await self._up.wait()
        await self.ask(order)

    async def ask(self, order: Op, limit_s: float | None = ANSWER_S) -> Reply | None:
        """None if the process is gone or hangs: no deploy waits for it longer than `limit_s`."""
        if self._connection:
            try:
                async with asyncio.timeout(limit_s):
                    return await self._connection.call(order)
            except DataPlaneGone:
                pass
            except TimeoutError:
                log.error("the data plane, pid %d, does not answer", self.pid)
        return None

    async def take_minutes(self, *, current: bool) -> list[Minute]:
        """What it counted in minutes that are over. `current`: the current one ends now."""
        found: list[Minute] = []
        while self._counts_minutes and (reply := await self.ask(Take(current))) and reply.minute:
            found.append(reply.minute)
            current = False
        return found

    async def stop(self) -> None:
        self.to_end = True
        if self._session:
            if self._connection:
                await self._connection.disconnect()
            await self._session.stop(STOP_GRACE_S)
        self._clean_up()

    async def _connect(self) -> None:
        """Returns when the process has answered. Raises DataPlaneGone."""
        self._connection = await remote.connect(self._path)
        try:
            async with asyncio.timeout(FIRST_ANSWER_S):
                await self._connection.call(Measure())
        except TimeoutError:
            self._end_hung()
            raise DataPlaneGone("it does not answer") from None
        self._up.set()

    def _end_hung(self) -> None:
        if self._session:
            log.error("the data plane, pid %d, does not answer; it is ended", self._session.pid)
            self._session.signal(signal.SIGKILL)

    def _clean_up(self) -> None:
        self._path.unlink(missing_ok=True)
        self._forget_gauge()

    def _forget_gauge(self) -> None:
        if self._gauge_fd >= 0:
            os.close(self._gauge_fd)
            self._gauge_fd = -1
