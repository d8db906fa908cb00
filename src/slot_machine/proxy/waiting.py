"""What a client's connection can wait for: for how long, and what happens then."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import NamedTuple, Protocol

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


Limit = Callable[[Limits], float]
Action = Callable[[Waiter, Limits, float], None]
"""The last argument is the time."""


class State(NamedTuple):
    """What is waited for. `limit` is in seconds; without one, each sweep calls `expire`."""

    limit: Limit | None
    expire: Action


def _fails(limit: Limit, status: HTTPStatus, why: str) -> State:
    """The proxy replies in place of the app. `why` has a place for the limit."""

    def expire(client: Waiter, limits: Limits, _: float) -> None:
        assert client.exchange
        client.exchange.fail(status, why.format(limit(limits)))

    return State(limit, expire)


def _end_if_client_is_stuck(client: Waiter, limits: Limits, now_s: float) -> None:
    client.end_if_stuck(client.transport, now_s, limits.stall_s)


def _end_if_app_is_stuck(client: Waiter, limits: Limits, now_s: float) -> None:
    if client.exchange and client.exchange.app:
        client.end_if_stuck(client.exchange.app.transport, now_s, limits.stall_s)


def _refuse_head(client: Waiter, limits: Limits, _: float) -> None:
    why = f"no complete head within {limits.head_s:g} s"
    client.refuse(ProtocolError(HTTPStatus.REQUEST_TIMEOUT, why))


READER = State(None, _end_if_client_is_stuck)
"""The client has yet to take what was written."""
CLOSE = State(lambda _: LINGER_S, lambda client, _, __: client.transport.abort())
"""The connection is closing, so the client should close its side."""
REQUEST = State(lambda limits: limits.idle_s, lambda client, _, now_s: client.close_if_still_idle(now_s))
HEAD = State(lambda limits: limits.head_s, _refuse_head)
"""The rest of a request's head."""
ROUTE = _fails(
    lambda limits: limits.hold_s, HTTPStatus.SERVICE_UNAVAILABLE, "held for too long while a new version starts"
)
"""The end of a hold."""
TUNNEL = State(None, _end_if_app_is_stuck)
"""The app has yet to take what came through a tunnel."""
BODY = _fails(
    lambda limits: limits.stall_s, HTTPStatus.REQUEST_TIMEOUT, "nothing of the request's body came for {:g} s"
)
"""More of a request's body."""
REPLY = _fails(lambda limits: limits.response_s, HTTPStatus.GATEWAY_TIMEOUT, "the app did not answer within {:g} s")
"""The beginning of the app's reply."""
END = State(lambda _: inf, lambda _, __, ___: None)
"""The end of the app's reply, which may take any time."""
