"""Keeps the workers of the data plane. They share the public listeners, and all get the same orders."""

import asyncio
import itertools
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import NamedTuple

import msgspec

from slot_machine.core.errors import StartRefused
from slot_machine.core.minutes import Minute
from slot_machine.core.upstream import PREVIEW, Beside, Counts, Target, Totals, Upstream
from slot_machine.host.network import ports
from slot_machine.proxy.wire import (
    Close,
    Drained,
    Forget,
    Hold,
    Maintain,
    Maintenance,
    Measure,
    Op,
    Reply,
    Route,
    Settings,
    Unwind,
)
from slot_machine.traffic.access_log import AccessLogRotation
from slot_machine.traffic.worker import ANSWER_S, Left, Worker

log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """What the workers have counted since each of them began.

    `totals` has a slot's name for key. `pids` are those of the workers that run. `lost` counts the requests that were
    in flight in workers that ended by themselves.
    """

    totals: dict[str, Totals]
    clients: int
    restarts: int
    lost: int
    pids: list[int]


class DataPlane:
    """Implements Traffic. It holds the public listeners, so connections queue while a worker starts.

    An order is in force when all workers have confirmed it. Retiring workers confirm too: their open connections still
    send requests.
    """

    def __init__(
        self, data: Path, settings: Settings, workers: int, app: str = "", rotation: AccessLogRotation | None = None
    ) -> None:
        """The file descriptors and the route in `settings` are filled in for each worker that starts."""
        self._data = data
        self._listeners: Mapping[str, socket.socket] = {}
        self._settings = settings
        self._size = workers
        self._app = app
        self._rotation = rotation or AccessLogRotation("", 0, 0)
        self._routed = Route(None)
        self._holding = False
        self._hold_s = settings.limits.hold_s
        self.maintenance: Maintenance | None = None
        """Set it before `start`; later, call `maintain`."""
        self._workers: list[Worker] = []
        self._retiring: list[Worker] = []

    async def start(
        self, listeners: Mapping[str, socket.socket], left: Sequence[Left] = (), *, renew: bool = False
    ) -> None:
        """Takes over the workers in `left` that have the current settings, starts the missing ones, retires the others.

        With `renew`, all are replaced, because their code is older; if no new worker answers, they keep serving.
        Raises StartRefused if there would be no worker at all.
        """
        self._listeners = listeners
        for listener in listeners.values():
            # All workers share it. If it blocked, all but one of them would hang in accept() for each connection.
            listener.setblocking(False)
            ports.listen(listener)
        # Requests wait until the deployer has found out what is live.
        self._holding = True
        if left:
            last = left[-1].introduction.settings
            self._routed, self._holding = Route(last.upstream, last.targets, last.beside), last.holding
        taken = {self._worker(found.path): found for found in left}
        await asyncio.gather(*itertools.starmap(Worker.take_over, taken.items()))
        current = [] if renew else [worker for worker, found in taken.items() if self._is_current(found)][: self._size]
        used = {found.path for found in left}
        free = (path for path in map(self._socket_path, itertools.count()) if path not in used)
        fresh = [self._worker(path) for path in itertools.islice(free, self._size - len(current))]
        failures = await asyncio.gather(*map(Worker.begin, fresh))
        self._workers = current + fresh
        if fresh and not current and all(failures):
            await asyncio.gather(*(worker.stop() for worker in fresh))
            self._workers = [worker for worker, found in taken.items() if self._accepts(found)]
            if not self._workers:
                raise StartRefused(f"the data plane does not start: {failures[0]}", "its output above says why")
        for failure in filter(None, failures):
            log.error("cannot start the data plane, so what there is goes on: %s", failure)
        self._retiring = [worker for worker in taken if worker not in self._workers]
        if any(found.introduction.settings.maintenance != self.maintenance for found in left):
            await self.maintain(self.maintenance)
        await asyncio.gather(*(worker.retire() for worker in self._retiring))
        for found in left:
            for listener in found.introduction.listeners.values():
                listener.close()

    async def keep(self) -> None:
        """Replaces workers that end. Runs until the workers are stopped, or until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            rotating = tasks.create_task(self._rotation.keep_small())
            await asyncio.gather(*(worker.keep() for worker in self._all))
            rotating.cancel()

    async def route(
        self,
        upstream: Upstream | None,
        ready: Upstream | None = None,
        targets: Mapping[str, Sequence[Target]] | None = None,
    ) -> Counts:
        """`targets`: by listener, those that get its requests in place of `upstream`."""
        own = {listener: tuple(shares) for listener, shares in (targets or {}).items()}
        if PREVIEW in self._listeners:
            # The live version gets none of its requests.
            own[PREVIEW] = ()
        beside = Beside(ready, stands_in=True) if ready else self._routed.beside
        if upstream and beside and beside.upstream.run_id == upstream.run_id:
            beside = None
        return await self._send(Route(upstream, own, beside))

    async def offer(self, beside: Beside | None) -> None:
        """During a hold, it is in force when the hold ends."""
        if self._holding:
            self._routed = Route(None, {}, beside)
        else:
            await self._send(msgspec.structs.replace(self._routed, beside=beside))

    async def _send(self, order: Route) -> Counts:
        self._routed, self._holding = order, False
        retiring = asyncio.gather(*(worker.ask(order) for worker in self._retiring))
        counted = await asyncio.gather(*(worker.route(order) for worker in self._workers))
        return _sum([*counted, *(reply.counts for reply in await retiring if reply)])

    async def hold(self, limit_s: float) -> None:
        self._routed, self._holding, self._hold_s = Route(None, {}, self._routed.beside), True, limit_s
        await self._tell(Hold(limit_s))

    async def maintain(self, maintenance: Maintenance | None) -> None:
        """From now on, or no longer."""
        self.maintenance = maintenance
        await self._tell(Maintain(maintenance))

    async def drained(self, upstream: Upstream) -> None:
        await self._each(Drained(upstream.run_id), limit_s=None)

    async def unwind(self, upstream: Upstream, over_s: float) -> None:
        await self._each(Unwind(upstream.run_id, over_s))

    async def forget(self, upstream: Upstream) -> Counts | None:
        beside = self._routed.beside
        if beside and beside.upstream.run_id == upstream.run_id:
            self._routed = msgspec.structs.replace(self._routed, beside=None)
        replies = await self._each(Forget(upstream.run_id))
        return _sum(reply.counts for reply in replies) if replies else None

    async def measure(self) -> Measured:
        replies = await self._each(Measure())
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

    async def take_minutes(self, *, current: bool) -> list[Minute]:
        """See `Mode.take_minutes`."""
        taken = await asyncio.gather(*(worker.take_minutes(current=current) for worker in self._all))
        return list(itertools.chain.from_iterable(taken))

    async def close_listeners(self) -> None:
        """Accepts no more connections, and replaces no worker that ends. Requests in flight go on."""
        for worker in self._all:
            worker.to_end = True
        for listener in self._listeners.values():
            listener.close()
        await self._each(Close())

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
            limits=msgspec.structs.replace(self._settings.limits, hold_s=settings.limits.hold_s),
            upstream=settings.upstream,
            targets=settings.targets,
            beside=settings.beside,
            holding=settings.holding,
            maintenance=settings.maintenance,
            minutes=settings.minutes,
        )
        return as_now == settings and self._accepts(found)

    def _accepts(self, found: Left) -> bool:
        """Whether it has listeners of the same names on the same addresses."""
        return _addresses(found.introduction.listeners) == _addresses(self._listeners)

    def _worker(self, path: Path) -> "Worker":
        return Worker(path, self._listeners, self._current, self._app)

    def _socket_path(self, number: int) -> Path:
        return self._data / f"proxy-{number}.sock"

    def _current(self) -> Settings:
        routed = self._routed
        return msgspec.structs.replace(
            self._settings,
            limits=msgspec.structs.replace(self._settings.limits, hold_s=self._hold_s),
            upstream=routed.upstream,
            targets=routed.targets,
            beside=routed.beside,
            holding=self._holding,
            maintenance=self.maintenance,
        )

    async def _tell(self, order: Op) -> None:
        """What a worker that starts reads in its settings has been changed before."""
        await asyncio.gather(*(worker.tell(order) for worker in self._all))

    async def _each(self, order: Op, limit_s: float | None = ANSWER_S) -> list[Reply]:
        """The replies of the workers that gave one within `limit_s`."""
        replies = await asyncio.gather(*(worker.ask(order, limit_s) for worker in self._all))
        return [reply for reply in replies if reply]


def _sum(counts: Iterable[Counts | None]) -> Counts:
    return reduce(add, filter(None, counts), Counts())


def _addresses(listeners: Mapping[str, socket.socket]) -> dict[str, object]:
    return {name: listener.getsockname() for name, listener in listeners.items()}
