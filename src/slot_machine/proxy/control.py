"""Obeys the daemon's orders, which come over the control socket. Each is answered once it is in force."""

import asyncio
import os
import socket
from functools import partial
from typing import cast

import msgspec

from slot_machine.core.minutes import Minute
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.wire import (
    Close,
    Drained,
    Forget,
    Hold,
    Introduce,
    Maintain,
    Measure,
    Reply,
    Request,
    Retire,
    Route,
    Take,
    Unwind,
)

decode = msgspec.json.Decoder(Request).decode


class ControlConnection(asyncio.Protocol):
    def __init__(self, server: DataPlaneServer) -> None:
        self._server = server
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.controllers += 1

    def connection_lost(self, _: Exception | None) -> None:
        self._server.controllers -= 1

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._obey(decode(line))

    def _obey(self, request: Request) -> None:
        router = self._server.shared.router
        done = Reply(request.id)
        match request.op:
            case Route(upstream, targets, beside):
                self._reply(Reply(request.id, counts=router.route(upstream, targets, beside)))
            case Hold(limit_s):
                self._server.shared.waiting.hold_for(limit_s)
                router.hold()
                self._reply(done)
            case Drained(run_id):
                router.when_drained(run_id, partial(self._reply, done))
            case Unwind(run_id, over_s):
                router.unwind(run_id, over_s)
                self._reply(done)
            case Forget(run_id):
                self._reply(Reply(request.id, counts=router.forget(run_id)))
            case Measure():
                self._reply(Reply(request.id, totals=router.measure(), clients=len(self._server.shared.clients)))
            case Take(current):
                self._reply(Reply(request.id, minute=self._taken(current=current)))
            case Introduce():
                self._introduce(request.id)
            case Maintain(maintenance):
                self._server.shared.maintain(maintenance)
                self._reply(done)
            case Retire():
                self._server.retire()
                self._reply(done)
            case Close():
                self._server.close()
                self._reply(done)

    def _taken(self, *, current: bool) -> Minute | None:
        observers = self._server.shared.router.observers
        if current:
            observers.end_part()
        return observers.take()

    def _introduce(self, request_id: int) -> None:
        settings = self._server.introduction()
        reply = msgspec.json.encode(Reply(request_id, pid=os.getpid(), settings=settings)) + b"\n"
        with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as direct:
            socket.send_fds(direct, [reply], [settings.gauge_fd, *settings.listener_fds.values()])

    def _reply(self, reply: Reply) -> None:
        if not self._transport.is_closing():
            self._transport.write(msgspec.json.encode(reply) + b"\n")
