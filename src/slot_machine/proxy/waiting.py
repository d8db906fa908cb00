"""What a client's connection can wait for: for how long, and what happens then."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import NamedTuple, Protocol

from slot_machine.core.minutes import LATE_S
from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.heads.fields import ProtocolError
from slot_machine.proxy.wire import Limits

LINGER_S = 2.0


class Waiter(Protocol):
    """A client's connection."""

    transport: asyncio.Transport
    exchange: Exchange | None

    def end_if_stuck(self, transport: asyncio.Transport, now_s: float, stall_s: float, /) -> None: ...
    def close_if_still_idle(self, now_s: float, /) -> None: ...
    def refuse(self, error: ProtocolError, /) -> None: ...
    def update_deadline(self) -> None: ...


Action = Callable[[Waiter, float], None]
"""The last argument is the time."""


class State(NamedTuple):
    """What is waited for. Without a limit, each sweep calls `expire`."""

    limit_s: float | None
    expire: Action


class Waiting:
    """All states, with the limits of a data plane."""

    def __init__(self, limits: Limits) -> None:
        def end_if_client_is_stuck(client: Waiter, now_s: float) -> None:
            client.end_if_stuck(client.transport, now_s, limits.stall_s)

        def end_if_app_is_stuck(client: Waiter, now_s: float) -> None:
            if client.exchange and client.exchange.app:
                client.end_if_stuck(client.exchange.app.transport, now_s, limits.stall_s)

        body_s, head_s, reply_s = limits.stall_s, limits.head_s, limits.response_s
        self.for_reader = State(None, end_if_client_is_stuck)
        """The client has yet to take what was written."""
        self.for_close = State(LINGER_S, lambda client, _: client.transport.abort())
        """The client has yet to close its side."""
        self.for_request = State(limits.idle_s, lambda client, now_s: client.close_if_still_idle(now_s))
        self.for_head = State(head_s, _refuses(f"no complete head within {head_s:g} s"))
        """The client has yet to send the rest of a head."""
        self.for_route = State(limits.hold_s, _fails(503, "held for too long while a new version starts"))
        self.for_tunnel = State(None, end_if_app_is_stuck)
        """The app has yet to take what came through a tunnel."""
        self.for_body = State(body_s, _fails(408, f"nothing of the request's body came for {body_s:g} s"))
        too_late = _fails(504, f"the app did not answer within {reply_s:g} s")
        self.for_reply = State(LATE_S, _is_late) if reply_s > LATE_S else State(reply_s, too_late)
        """The app has yet to begin its reply."""
        self.for_late_reply = State(reply_s - LATE_S, too_late)
        self.for_end = State(inf, lambda _, __: None)
        """The reply has begun. It may take any time."""
        self._hold_s = limits.hold_s

    def hold_for(self, limit_s: float) -> None:
        """From now on, a request waits that long for a route. 0 is the limit of the data plane."""
        self.for_route = self.for_route._replace(limit_s=limit_s or self._hold_s)


def _is_late(client: Waiter, _: float) -> None:
    if client.exchange:
        client.exchange.waits_long()
        client.update_deadline()


def _refuses(why: str) -> Action:
    return lambda client, _: client.refuse(ProtocolError(HTTPStatus.REQUEST_TIMEOUT, why))


def _fails(status: int, why: str) -> Action:
    """The proxy replies in place of the app."""

    def expire(client: Waiter, _: float) -> None:
        if client.exchange:
            client.exchange.fail(HTTPStatus(status), why)

    return expire
