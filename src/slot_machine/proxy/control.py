"""The daemon's side door: commands come in over the control socket, and are answered when they are in force."""

import asyncio
from functools import partial
from typing import cast

import msgspec

from slot_machine.core.upstream import Counts
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.wire import Close, Drained, Forget, Hold, Reply, Request, Route

decode = msgspec.json.Decoder(Request).decode


class ControlConnection(asyncio.Protocol):
    def __init__(self, server: DataPlaneServer) -> None:
        self._server = server
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:

        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._obey(decode(line))

    def _obey(self, request: Request) -> None:
        router = self._server.router
        match request.op:
            case Route(upstream):
                router.route(upstream)
                self._reply(request.id)
            case Hold():
                router.hold()
                self._reply(request.id)
            case Drained(upstream_id):
                router.when_drained(upstream_id, partial(self._reply, request.id))
            case Forget(upstream_id):
                self._reply(request.id, router.forget(upstream_id))
            case Close():
                self._server.close()
                self._reply(request.id)

    def _reply(self, request_id: int, counts: Counts | None = None) -> None:
        if not self._transport.is_closing():
            self._transport.write(msgspec.json.encode(Reply(request_id, counts=counts)) + b"\n")
