"""The data plane as the daemon keeps it: its processes started, told what to route, and started again when they end."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import reduce
from operator import add
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from slot_machine.core.errors import DataPlaneGone
from slot_machine.core.upstream import Counts, Totals, Upstream
from slot_machine.host import environment, ports
from slot_machine.host.processes import Session, describe_exit
from slot_machine.host.store import Store
from slot_machine.proxy.remote import Remote
from slot_machine.proxy.wire import Settings

log = logging.getLogger(__name__)

STOP_GRACE_S = 1.0
SHORT_LIFE_S = 1.0
"""A worker that ends sooner is not replaced in a hot loop."""

T = TypeVar("T")


class Measured(NamedTuple):
    """What the workers counted since each of them began; `totals` by slot, `pids` of those that run."""

    totals: dict[str, Totals]
    clients: int
    restarts: int
    pids: list[int]


class DataPlane:
    """Holds the public listeners, so that connections queue while a worker starts. Implements Traffic.

    Its workers are alike and share the listeners; what is said to it is in force when all of them have confirmed.
    """

    def __init__(
        self, data: Path, listeners: Mapping[str, socket.socket], store: Store, settings: Settings, workers: int
    ) -> None:
        """`settings` say nothing yet of file descriptors and of what is routed."""
        self._listeners = listeners
        self._settings = settings
        self._routed: Upstream | None = None
        self._holding = False
        self._workers = [Worker(data, number, listeners, store, self._current) for number in range(workers)]

    async def start(self) -> None:
        for listener in self._listeners.values():
            listener.listen(ports.BACKLOG)
        await asyncio.gather(*(worker.start() for worker in self._workers))

    async def keep(self) -> None:
        """Replaces workers that end. Runs until they are stopped or it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self._workers:
                tasks.create_task(worker.keep())

    async def route(self, upstream: Upstream | None) -> Counts:
        self._routed, self._holding = upstream, False
        return reduce(add, await asyncio.gather(*(worker.route(upstream) for worker in self._workers)))

    async def hold(self) -> None:
        self._routed, self._holding = None, True
        await self._each(Remote.hold)

    async def drained(self, upstream: Upstream) -> None:
        await self._each(lambda remote: remote.drained(upstream.id))

    async def unwind(self, upstream: Upstream, over_s: float) -> None:
        await self._each(lambda remote: remote.unwind(upstream.id, over_s))

    async def forget(self, upstream: Upstream) -> Counts | None:
        counted = await self._each(lambda remote: remote.forget(upstream.id))
        return reduce(add, counted) if counted else None

    async def measure(self) -> Measured:
        replies = await self._each(Remote.measure)
        totals: dict[str, Totals] = {}
        for reply in replies:
            for slot, counted in (reply.totals or {}).items():
                totals[slot] = totals.get(slot, Totals()) + counted
        restarts = sum(worker.restarts for worker in self._workers)
        pids = [worker.pid for worker in self._workers if worker.pid]
        return Measured(totals, sum(reply.clients for reply in replies), restarts, pids)

    async def close_listeners(self) -> None:
        """Takes no more connections; what is in flight goes on."""
        for listener in self._listeners.values():
            listener.close()
        await self._each(Remote.close_listeners)

    async def stop(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self._workers))

    def _current(self) -> Settings:
        return msgspec.structs.replace(self._settings, upstream=self._routed, holding=self._holding)

    async def _each(self, ask: Callable[[Remote], Awaitable[T]]) -> list[T]:
        """The answers of those workers that live to give one."""
        answers = await asyncio.gather(*(worker.ask(ask) for worker in self._workers))
        return [answer for answer in answers if answer is not None]


class Worker:
    """One data-plane process after the other. `settings` are asked for at each start."""

    def __init__(
        self,
        data: Path,
        number: int,
        listeners: Mapping[str, socket.socket],
        store: Store,
        settings: Callable[[], Settings],
    ) -> None:
        self.restarts = 0
        self._data = data
        self._socket_name = f"proxy-{number}.sock"
        self._listeners = listeners
        self._store = store
        self._settings = settings
        self._session: Session | None = None
        self._remote: Remote | None = None
        self._up = asyncio.Event()
        self._stopping = False

    @property
    def pid(self) -> int:
        """0 while there is none."""
        return self._session.pid if self._session and self._up.is_set() else 0

    async def start(self) -> None:
        if self._remote:
            await self._remote.disconnect()
        with _control_socket(self._data, self._socket_name) as control:
            settings = msgspec.structs.replace(
                self._settings(),
                control_fd=control.fileno(),
                listener_fds={name: listener.fileno() for name, listener in self._listeners.items()},
            )
            self._session = Session.start(
                [sys.executable, "-m", "slot_machine.proxy", msgspec.json.encode(settings).decode()],
                cwd=self._data,
                env=environment.inherited(),
                output=sys.stderr.fileno(),
                pass_fds=(control.fileno(), *settings.listener_fds.values()),
            )
        self._store.add_process(self._session.identity)
        self._remote = await Remote.connect(self._data / self._socket_name)
        self._up.set()

    async def keep(self) -> None:
        while self._session:
            began_s = time.monotonic()
            code = await self._session.exited()
            self._up.clear()
            self._store.remove_process(self._session.identity)
            self._session.reap()
            if self._stopping:
                return
            log.error("the data plane ended: %s; starting another", describe_exit(code))
            if time.monotonic() - began_s < SHORT_LIFE_S:
                await asyncio.sleep(SHORT_LIFE_S)
            self.restarts += 1
            await self.start()

    async def route(self, upstream: Upstream | None) -> Counts:
        """Waits for a worker to tell: nothing is more important to know for it."""
        while True:
            await self._up.wait()
            remote = self._remote
            assert remote
            try:
                return await remote.route(upstream)
            except DataPlaneGone:
                if remote is self._remote:
                    self._up.clear()

    async def ask(self, ask: Callable[[Remote], Awaitable[T]]) -> T | None:
        """None from a worker that is gone: what it knew went with it."""
        if self._remote:
            with suppress(DataPlaneGone):
                return await ask(self._remote)
        return None

    async def stop(self) -> None:
        self._stopping = True
        if self._session:
            if self._remote:
                await self._remote.disconnect()
            await self._session.stop(STOP_GRACE_S)
            self._store.remove_process(self._session.identity)
        (self._data / self._socket_name).unlink(missing_ok=True)


def _control_socket(data: Path, name: str) -> socket.socket:
    """Listens at that name. Bound by way of /proc, as a socket's path may only have 107 bytes (unix(7))."""
    (data / name).unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX)
    folder = os.open(data, os.O_PATH | os.O_DIRECTORY)
    try:
        control.bind(f"/proc/self/fd/{folder}/{name}")
        (data / name).chmod(0o600)
        control.listen()
    except BaseException:
        control.close()
        raise
    finally:
        os.close(folder)
    return control
