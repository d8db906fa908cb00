"""The two ends of an exchange: the client's connection and what carries the request to the app."""

import asyncio
from typing import Protocol, TypeVar

from slot_machine.proxy.access_log import AccessLog
from slot_machine.proxy.framing import Framing
from slot_machine.proxy.heads.forwarded import Sender
from slot_machine.proxy.pool import AppLink, Pool
from slot_machine.proxy.routing import Router
from slot_machine.proxy.share import Visitors
from slot_machine.proxy.wire import Limits

E = TypeVar("E")
"""The exchange."""
E_contra = TypeVar("E_contra", contravariant=True)


class AppSide(Protocol):
    """What carries an exchange to the app: a connection to it, or a tunnel. `reused`: it has carried one before."""

    transport: asyncio.Transport

    @property
    def reused(self) -> bool: ...

    @property
    def silent(self) -> bool:
        """Whether nothing has come back on it for this exchange."""

    def cut(self) -> None: ...

    def clean_ending(self) -> bytes | None:
        """The bytes that end the reply so that the client knows it is over; None if nothing does."""


class ConnectionOf(AppLink, AppSide, Protocol[E_contra]):
    """A connection to the app. `congested`: the app reads more slowly than the client sends."""

    congested: bool

    def begin(self, exchange: E_contra, request: bytes, /) -> None:
        """Sends the request, and its reply to the exchange's client."""


class Common(Protocol[E]):
    """What all exchanges of a data plane share. `closing`: each reply says that its connection closes after it."""

    limits: Limits
    router: Router[ConnectionOf[E]]
    access_log: AccessLog | None
    closing: bool
    visitors: Visitors
    port: int

    def connect(self, pool: Pool[ConnectionOf[E]], exchange: E, /) -> None:
        """Opens a connection for the exchange, and tells it the outcome."""


class ClientSide(Protocol[E]):
    """A client's connection, as the app's side knows it.

    `request_framing` is that of the request's body until all of it has come. `congested`: the client reads more
    slowly than the app writes. `half_closed`: one side of its tunnel sends no more.
    """

    transport: asyncio.Transport
    listener: str
    sender: Sender
    request_framing: Framing | None
    congested: bool
    half_closed: bool

    @property
    def shared(self) -> Common[E]: ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def update_deadline(self) -> None: ...
    def ended(self, exchange: E, now_s: float, /) -> None: ...
    def linger(self) -> None: ...
    def reset(self) -> None: ...

    # For a tunnel.

    def upgraded(self) -> bytes: ...
    def half_closes(self) -> None: ...
    def pause_tunnel(self) -> None: ...
    def end_turn(self, nbytes: int, /) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None, /) -> None: ...
