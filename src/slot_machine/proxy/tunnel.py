"""After an upgrade: two connections that pass on each other's bytes."""

import asyncio
from math import inf
from time import monotonic

from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.sockets import unsent
from slot_machine.proxy.turns import end_turn
from slot_machine.proxy.websocket import GOING_AWAY, Frames


class Tunnel:
    """The app's side of an exchange that was upgraded. Implements AppSide."""

    reused = False
    silent = False

    def __init__(self, exchange: Exchange, app: asyncio.Transport, *, websocket: bool) -> None:
        self.exchange = exchange
        self.transport = app
        self.client = exchange.client
        self.frames = Frames() if websocket else None
        self._half_closed: asyncio.Transport | None = None

    def open(self, early: bytes) -> None:
        """`early`: bytes that the app sent right after its reply."""
        to_app = self.client.upgraded()
        self.exchange.app = self
        self.client.transport.set_protocol(_ClientEnd(self))
        self.transport.set_protocol(_AppEnd(self))
        if early:
            self.from_app(early)
        if to_app:
            self.from_client(to_app)

    def from_app(self, data: bytes) -> None:
        if self.frames:
            self.frames.feed(data)
        self.exchange.sent += len(data)
        self.client.transport.write(data)
        self._progress()
        end_turn(self.transport, len(data), lambda: self.client.congested)

    def from_client(self, data: bytes) -> None:
        if self.exchange.ended:
            # Nobody answers any more: the client is to know at once, and connect again.
            self.exchange.end_cleanly()
            return
        self.exchange.received += len(data)
        self.transport.write(data)
        self._progress()
        self.client.end_turn(len(data))

    def eof(self, to: asyncio.Transport) -> bool:
        """One side has ended. Returns whether the connection stays open: it does until the other side ends, too."""
        if self._half_closed:
            return False
        self._half_closed = to
        self.client.half_closes()
        if not to.is_closing():
            to.write_eof()
        return True

    def cut(self) -> None:
        """Closes the app's connection once the app has read what was written, as long as it makes progress."""
        self.transport.close()
        self._flush(inf)

    def clean_ending(self) -> bytes | None:
        if self._half_closed is self.client.transport:
            return None
        if not self.frames or self.frames.closed:
            return b""
        return GOING_AWAY if self.frames.between_frames else None

    def _flush(self, left: float) -> None:
        """`left`: bytes that the app had not taken at the last look."""
        if not self.transport.get_write_buffer_size():
            return
        now_left = unsent(self.transport)
        if now_left >= left:
            self.transport.abort()
        else:
            asyncio.get_running_loop().call_later(self.client.shared.limits.stall_s, self._flush, now_left)

    def _progress(self) -> None:
        if self.client.half_closed:
            self.client.update_deadline()


class _End(asyncio.Protocol):
    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel


class _ClientEnd(_End):
    def data_received(self, data: bytes) -> None:
        self._tunnel.from_client(data)

    def eof_received(self) -> bool:
        return self._tunnel.eof(self._tunnel.transport)

    def pause_writing(self) -> None:
        self._tunnel.client.pause_writing()

    def resume_writing(self) -> None:
        self._tunnel.client.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.client.connection_lost(exc)


class _AppEnd(_End):
    def data_received(self, data: bytes) -> None:
        self._tunnel.from_app(data)

    def eof_received(self) -> bool:
        """While its upstream stops, `Exchange.end_cleanly` tells the client."""
        return not self._tunnel.exchange.stopping and self._tunnel.eof(self._tunnel.client.transport)

    def pause_writing(self) -> None:
        self._tunnel.client.pause_tunnel()

    def resume_writing(self) -> None:
        self._tunnel.client.resume()

    def connection_lost(self, _: Exception | None) -> None:
        exchange, frames = self._tunnel.exchange, self._tunnel.frames
        sent_close = frames is not None and frames.closed
        if exchange.ended:
            return
        if exchange.stopping and not sent_close:
            exchange.app_lost("the app closed the connection")
        else:
            exchange.finished(monotonic())
