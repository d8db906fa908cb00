"""The keeper's control socket: requests of the daemon, and file descriptors from the wrappers."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable

import msgspec

from slot_machine.handover.answering import Answering
from slot_machine.handover.apps import App, Denied
from slot_machine.handover.keeper import Keeper
from slot_machine.handover.wire import Attend, Drained, Forget, Inspect, Listens, Promote, Relay, Reply, Request

log = logging.getLogger(__name__)
decode = msgspec.json.Decoder(Request).decode


class Control:
    """`obstacle` says why this machine allows no handover. `on_idle` is called when no daemon and no app is left."""

    def __init__(self, listener: socket.socket, obstacle: str, on_idle: Callable[[], None]) -> None:
        self.keeper = Keeper(self.check_idle)
        self.answering = Answering(self.keeper)
        self.obstacle = obstacle
        self._listener = listener
        self._on_idle = on_idle
        self._open = 0
        self._loop = asyncio.get_running_loop()
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def opened(self) -> None:
        self._open += 1

    def closed(self) -> None:
        self._open -= 1
        self.check_idle()

    def _accept(self) -> None:
        ControlConnection(self._listener.accept()[0], self)

    def check_idle(self) -> None:
        if not self._open and not self.keeper.needed:
            self._on_idle()


class ControlConnection:
    def __init__(self, connection: socket.socket, control: Control) -> None:
        self._connection = connection
        self._keeper = control.keeper
        self._control = control
        self._rest = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        connection.setblocking(False)
        self._loop.add_reader(connection, self._read)
        control.opened()

    def _read(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._connection, 65_536, 1)
        except OSError:
            data, fds = b"", []
        if not data:
            self._close()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            requests = [decode(line) for line in lines]
        except msgspec.DecodeError as error:
            log.error("cannot decode a request: %s", error)
            self._close()
            return
        for request in requests:
            if isinstance(request.op, Attend):
                self._attend(request.op, fds.pop())
            else:
                task = self._loop.create_task(self._answer(request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _attend(self, op: Attend, notifications: int) -> None:
        credentials = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        self._control.answering.attend(App(op.run_id, op.ports, struct.unpack("3i", credentials)[0], notifications))

    async def _answer(self, request: Request) -> None:
        error = ""
        try:
            await self._obey(request)
        except (Denied, OSError) as denied:
            error = str(denied)
        except Exception as defect:
            log.exception("cannot obey %s", request)
            error = f"unexpected {type(defect).__name__}: {defect}"
        live = self._keeper.live
        reply = Reply(request.id, error, live.run_id if live and live.listeners else 0, os.getpid())
        self._connection.send(msgspec.json.encode(reply) + b"\n")

    async def _obey(self, request: Request) -> None:
        keeper = self._keeper
        match request.op:
            case Listens(run_id):
                await keeper.listens(run_id)
            case Promote(run_id):
                keeper.promote(run_id)
            case Drained(run_id):
                await keeper.drained(run_id)
            case Relay(run_id):
                keeper.relay(run_id)
            case Forget(run_id):
                keeper.forget(run_id)
            case Inspect(run_id):
                self._inspect(run_id)
            case Attend():
                pass

    def _inspect(self, run_id: int) -> None:
        if obstacle := self._control.obstacle or self._keeper.obstacle(run_id):
            raise Denied(obstacle)

    def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._loop.remove_reader(self._connection)
        self._connection.close()
        self._control.closed()
