"""The data plane as the daemon keeps it: its processes started, taken over, told what to route, started again."""

import asyncio
import itertools
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import reduce
from operator import add
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from slot_machine.core.errors import DataPlaneGone, StartRefused
from slot_machine.core.upstream import Counts, Totals, Upstream
from slot_machine.host.network import ports
from slot_machine.host.network.control_socket import listening
from slot_machine.host.process import environment, proc, python
from slot_machine.host.process.containment import mark_of, owner
from slot_machine.host.process.session import Session, describe_exit
from slot_machine.proxy import gauge
from slot_machine.proxy.remote import Introduction, Remote, introduce
from slot_machine.proxy.wire import Settings

log = logging.getLogger(__name__)

STOP_GRACE_S = 1.0
ANSWER_S = 2.0
HUNG_S = 10.0
"""A worker that says nothing for so long where it must is ended."""
FIRST_ANSWER_S = 30.0
"""The same for one that has just begun."""
TRIES = 2
SHORT_LIFE_S = 1.0
"""A worker that ends sooner is not replaced in a hot loop."""

BUFFERS_KEPT = {"MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "16777216"}
"""In bytes, see mallopt(3): what a big reply is read into does not go back to the kernel, to be cleared once more."""

T = TypeVar("T")


class Measured(NamedTuple):
    """What the workers counted since each of them began; `totals` by slot, `pids` of those that run.

    `lost`: requests that were in flight in workers that ended by themselves.
    """

    totals: dict[str, Totals]
    clients: int
    restarts: int
    lost: int
    pids: list[int]


class Left(NamedTuple):
    """A worker that an earlier daemon left running."""

    path: Path
    session: Session
    introduction: Introduction


def left_running(data: Path) -> list[Left]:
    """Those that can be taken over, known by their mark. The others are to be ended."""
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


class DataPlane:
    """Holds the public listeners, so that connections queue while a worker starts. Implements Traffic.

    Its workers are alike and share the listeners; what is said to it is in force when all of them have confirmed. So
    have those that retire: they accept nothing more, but what they accepted may still send requests.
    """

    def __init__(self, data: Path, listeners: Mapping[str, socket.socket], settings: Settings, workers: int) -> None:
        """`settings` say nothing yet of file descriptors and of what is routed."""
        self._data = data
        self._listeners = listeners
        self._settings = settings
        self._size = workers
        self._routed: Upstream | None = None
        self._holding = False
        self._workers: list[Worker] = []
        self._retiring: list[Worker] = []

    async def start(self, left: Sequence[Left] = (), *, renew: bool = False) -> None:
        """Takes over the workers that are `left` and fit, starts what is missing, and retires the others.

        `renew`: none of them fits, as their code is older. They stay nevertheless if no new one comes to answer.
        Raises StartRefused where then there would be none.
        """
        for listener in self._listeners.values():
            # Shared with the workers that are left, of which all but one would hang in accept() at each connection.
            listener.setblocking(False)
            ports.listen(listener)
        # Until it is known what is live.
        self._holding = True
        if left:
            last = left[-1].introduction.settings
            self._routed, self._holding = last.upstream, last.holding
        taken = {self._worker(found.path): found for found in left}
        await asyncio.gather(*itertools.starmap(Worker.take_over, taken.items()))
        fitting = [] if renew else [worker for worker, found in taken.items() if self._is_current(found)][: self._size]
        used = {found.path for found in left}
        free = (path for path in map(self._socket_path, itertools.count()) if path not in used)
        fresh = [self._worker(path) for path in itertools.islice(free, self._size - len(fitting))]
        failures = await asyncio.gather(*map(Worker.begin, fresh))
        self._workers = fitting + fresh
        if fresh and not fitting and all(failures):
            await asyncio.gather(*(worker.stop() for worker in fresh))
            self._workers = [worker for worker, found in taken.items() if self._accepts(found)]
            if not self._workers:
                raise StartRefused(f"the data plane does not start: {failures[0]}", "its output above says why")
        for failure in filter(None, failures):
            log.error("cannot start the data plane, so what there is goes on: %s", failure)
        self._retiring = [worker for worker in taken if worker not in self._workers]
        await asyncio.gather(*(worker.retire() for worker in self._retiring))
        for found in left:
            for listener in found.introduction.listeners.values():
                listener.close()

    async def keep(self) -> None:
        """Replaces workers that end. Runs until they are stopped or it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self._all:
                tasks.create_task(worker.keep())

    async def route(self, upstream: Upstream | None) -> Counts:
        self._routed, self._holding = upstream, False
        retiring = asyncio.gather(*(worker.ask(lambda remote: remote.route(upstream)) for worker in self._retiring))
        counted = await asyncio.gather(*(worker.route(upstream) for worker in self._workers))
        return reduce(add, filter(None, [*counted, *await retiring]))

    async def hold(self) -> None:
        self._routed, self._holding = None, True
        await self._each(Remote.hold)

    async def drained(self, upstream: Upstream) -> None:
        await self._each(lambda remote: remote.drained(upstream.run_id), limit_s=None)

    async def unwind(self, upstream: Upstream, over_s: float) -> None:
        await self._each(lambda remote: remote.unwind(upstream.run_id, over_s))

    async def forget(self, upstream: Upstream) -> Counts | None:
        counted = await self._each(lambda remote: remote.forget(upstream.run_id))
        return reduce(add, counted) if counted else None

    async def measure(self) -> Measured:
        replies = await self._each(Remote.measure)
        totals: dict[str, Totals] = {}
        for reply in replies:
            for slot, counted in (reply.totals or {}).items():
                totals[slot] = totals.get(slot, Totals()) + counted
        return Measured(
            totals=totals,
            clients=sum(reply.clients for reply in replies),
            restarts=sum(worker.restarts for worker in self._all),
            lost=sum(worker.lost for worker in self._all),
            pids=[worker.pid for worker in self._all if worker.pid],
        )

    async def close_listeners(self) -> None:
        """Takes no more connections, and starts no worker again; what is in flight goes on."""
        for worker in self._all:
            worker.to_end = True
        for listener in self._listeners.values():
            listener.close()
        await self._each(Remote.close_listeners)

    async def stop(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._all))

    @property
    def _all(self) -> "list[Worker]":
        return self._workers + self._retiring

    def _is_current(self, found: Left) -> bool:
        settings = found.introduction.settings
        as_now = msgspec.structs.replace(
            self._settings,
            control_fd=settings.control_fd,
            gauge_fd=settings.gauge_fd,
            listener_fds=settings.listener_fds,
            upstream=settings.upstream,
            holding=settings.holding,
        )
        return as_now == settings and self._accepts(found)

    def _accepts(self, found: Left) -> bool:
        return same_ports(found.introduction.listeners, self._listeners)

    def _worker(self, path: Path) -> "Worker":
        return Worker(path, self._listeners, self._current)

    def _socket_path(self, number: int) -> Path:
        return self._data / f"proxy-{number}.sock"

    def _current(self) -> Settings:
        return msgspec.structs.replace(self._settings, upstream=self._routed, holding=self._holding)

    async def _each(self, ask: Callable[[Remote], Awaitable[T]], limit_s: float | None = ANSWER_S) -> list[T]:
        """The answers of those workers that live to give one."""
        answers = await asyncio.gather(*(worker.ask(ask, limit_s) for worker in self._all))
        return [answer for answer in answers if answer is not None]


def same_ports(some: Mapping[str, socket.socket], others: Mapping[str, socket.socket]) -> bool:
    """Whether listeners of these names are there on both sides, on the same addresses."""
    return {name: listener.getsockname() for name, listener in some.items()} == {
        name: listener.getsockname() for name, listener in others.items()
    }


class Worker:
    """One data-plane process after the other. `settings` are asked for at each start.

    `lost` counts the requests that were in flight when one ended by itself. `to_end`: it is not started again.
    """

    def __init__(
        self,
        path: Path,
        listeners: Mapping[str, socket.socket],
        settings: Callable[[], Settings],
    ) -> None:
        self.restarts = 0
        self.lost = 0
        self._path = path
        self._listeners = listeners
        self._settings = settings
        self._session: Session | None = None
        self._remote: Remote | None = None
        self._gauge_fd = -1
        self._up = asyncio.Event()
        self.to_end = False

    @property
    def pid(self) -> int:
        """0 while there is none."""
        return self._session.pid if self._session and self._up.is_set() else 0

    async def begin(self) -> Exception | None:
        """Starts it, at the second try if need be. Returns why it did not."""
        failure = None
        for _ in range(TRIES):
            try:
                await self.start()
            except Exception as error:  # noqa: BLE001 - whatever it is, those that there are go on
                failure = error
            else:
                return None
        return failure

    async def start(self) -> None:
        """Raises DataPlaneGone, OSError."""
        if self._session:
            await self._session.kill()
            self._session = None
        if self._remote:
            await self._remote.disconnect()
        self._forget_gauge()
        self._gauge_fd = gauge.create()
        with listening(self._path) as control:
            settings = msgspec.structs.replace(
                self._settings(),
                control_fd=control.fileno(),
                gauge_fd=self._gauge_fd,
                listener_fds={name: listener.fileno() for name, listener in self._listeners.items()},
            )
            self._session = Session.start(
                python.module("slot_machine.proxy", msgspec.json.encode(settings).decode()),
                cwd=python.FOLDER,
                env={**BUFFERS_KEPT, **environment.inherited()},
                output=sys.stderr.fileno(),
                owner=owner(self._path.parent),
                pass_fds=(control.fileno(), self._gauge_fd, *settings.listener_fds.values()),
                contained=False,
                as_daemon=True,
            )
        await self._connect()

    async def take_over(self, left: Left) -> None:
        """Instead of `start`."""
        self._session = left.session
        self._gauge_fd = left.introduction.gauge_fd
        with suppress(DataPlaneGone):
            await self._connect()

    async def retire(self) -> None:
        """It ends by itself when it has finished what it carries."""
        self.to_end = True
        await self.ask(Remote.retire)

    async def keep(self) -> None:
        """Starts it again whenever it ends, until it is to end."""
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
        """Waits for its end. One that can't be talked to is tried again meanwhile."""
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

    async def route(self, upstream: Upstream | None) -> Counts:
        """Waits for a worker to tell, and ends one that does not: the next one begins with what is routed by then."""
        try:
            async with asyncio.timeout(HUNG_S):
                return await self._route(upstream)
        except TimeoutError:
            self._end_hung()
            return Counts()

    async def _route(self, upstream: Upstream | None) -> Counts:
        while self._session or not self.to_end:
            await self._up.wait()
            remote = self._remote
            assert remote
            try:
                return await remote.route(upstream)
            except DataPlaneGone:
                if remote is self._remote:
                    self._up.clear()
        return Counts()

    async def ask(self, ask: Callable[[Remote], Awaitable[T]], limit_s: float | None = ANSWER_S) -> T | None:
        """None from a worker that is gone, or that hangs: no deploy waits for it."""
        if self._remote:
            try:
                async with asyncio.timeout(limit_s):
                    return await ask(self._remote)
            except DataPlaneGone:
                pass
            except TimeoutError:
                log.error("the data plane, pid %d, does not answer", self.pid)
        return None

    async def stop(self) -> None:
        self.to_end = True
        if self._session:
            if self._remote:
                await self._remote.disconnect()
            await self._session.stop(STOP_GRACE_S)
        self._clean_up()

    async def _connect(self) -> None:
        """Returns once it answers. Raises DataPlaneGone."""
        self._remote = await Remote.connect(self._path)
        try:
            async with asyncio.timeout(FIRST_ANSWER_S):
                await self._remote.measure()
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
