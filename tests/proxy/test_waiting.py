"""The table of what a client's connection waits for: each state is reached, has its limit, and its end."""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

import pytest

from slot_machine.core.minutes import LATE_S, Tally
from slot_machine.core.upstream import PUBLIC, Address, Upstream
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.waiting import LINGER_S
from slot_machine.proxy.wire import Limits, Settings
from tests.proxy.in_memory import Wire

LIMITS = Limits(response_s=11, hold_s=22, head_s=33, idle_s=44, stall_s=55)
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"


UPSTREAM = Upstream(1, "a", {PUBLIC: Address("127.0.0.1", 1)})
NEXT = Upstream(2, "b", {PUBLIC: Address("127.0.0.1", 2)})


class Silent(Shared):
    """The app does not answer: a connection to it is never there."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        super().__init__(Settings(limits=limits))
        self.router.route(UPSTREAM)

    def connect(self, pool: Pool[Connection], exchange: Exchange) -> None:
        pass


def idle(_: ClientConnection) -> None:
    pass


def begins_a_head(client: ClientConnection) -> None:
    client.data_received(b"GET /")


def asks(client: ClientConnection) -> None:
    client.data_received(GET)


def is_held(client: ClientConnection) -> None:
    client.shared.router.hold()
    client.data_received(GET)


def sends_a_part(client: ClientConnection) -> None:
    client.data_received(POST + b"he")
    client.resume()


def does_not_read(client: ClientConnection) -> None:
    client.data_received(GET)
    client.pause_writing()


def is_refused(client: ClientConnection) -> None:
    client.data_received(b"nonsense\r\n\r\n")


@pytest.mark.parametrize(
    ("does", "limit_s", "reply"),
    [
        (idle, LIMITS.idle_s, b""),
        (begins_a_head, LIMITS.head_s, b"HTTP/1.1 408 "),
        (asks, LIMITS.response_s, b"HTTP/1.1 504 "),
        (is_held, LIMITS.hold_s, b"HTTP/1.1 503 "),
        (sends_a_part, LIMITS.stall_s, b"HTTP/1.1 408 "),
        (is_refused, LINGER_S, b"HTTP/1.1 400 "),
    ],
)
def test_limit_and_reply(does: Callable[[ClientConnection], None], limit_s: float, reply: bytes) -> None:
    async def main() -> None:
        wire, began_s = Wire(), monotonic()
        client = ClientConnection(Silent(), PUBLIC)
        client.connection_made(wire)
        does(client)
        assert began_s + limit_s <= client.deadline_s <= monotonic() + limit_s
        client.expired(client.deadline_s)
        assert wire.written.startswith(reply)
        assert bool(wire.written) == bool(reply)
        client.expired(monotonic())
        assert wire.closed or client.deadline_s < inf

    asyncio.run(main())


@pytest.mark.parametrize("leaves", [False, True])
def test_request_that_waits_long_is_counted_before_its_limit(*, leaves: bool) -> None:
    async def main() -> None:
        wire, shared = Wire(), Silent(Limits(response_s=60))
        client = ClientConnection(shared, PUBLIC)
        client.connection_made(wire)
        began_s = monotonic()
        client.data_received(GET)
        assert client.deadline_s < began_s + LATE_S + 1
        client.expired(client.deadline_s)
        observer = shared.router.observers.of("a")
        assert observer.take() == {"/": Tally({}, waiting=1)}
        assert client.deadline_s - monotonic() == pytest.approx(60 - LATE_S, abs=1)
        assert not wire.written
        if leaves:
            client.connection_lost(None)
        else:
            client.expired(client.deadline_s)
            assert wire.written.startswith(b"HTTP/1.1 504 ")
        tally = observer.take()["/"]
        assert (tally.waiting, tally.in_vain, tally.errors) == (-1, int(leaves), int(not leaves))
        assert (tally.asked, tally.failed) == (0, 0), "it was counted before"

    asyncio.run(main())


@pytest.mark.parametrize(("waited_s", "sent", "in_vain"), [(5.5, GET, 1), (4.5, GET, 0), (5.5, POST + b"he", 0)])
def test_client_that_leaves_without_a_reply_has_waited_in_vain(waited_s: float, sent: bytes, in_vain: int) -> None:
    """Not one that has not sent its request yet."""

    async def main() -> None:
        client = ClientConnection(shared := Silent(), PUBLIC)
        client.connection_made(Wire())
        client.data_received(sent)
        assert client.exchange
        client.exchange.began_s -= waited_s
        client.connection_lost(None)
        tally = shared.router.observers.of("a").take()["/"]
        assert (tally.waiting, tally.in_vain, tally.requests, tally.errors) == (0, in_vain, 1, 0)

    asyncio.run(main())


def sends_the_rest(client: ClientConnection) -> None:
    client.data_received(b"llo")


def is_let_go(client: ClientConnection) -> None:
    client.shared.router.route(UPSTREAM)


def moves(client: ClientConnection) -> None:
    client.shared.router.route(NEXT)
    assert client.exchange
    client.exchange.not_opened("Connection refused")


@pytest.mark.parametrize(("waits", "is_asked"), [(sends_a_part, sends_the_rest), (is_held, is_let_go), (asks, moves)])
def test_client_that_leaves_soon_after_a_version_was_asked_has_not_waited_in_vain_for_it(
    waits: Callable[[ClientConnection], None], is_asked: Callable[[ClientConnection], None]
) -> None:
    """Though it has waited for long before that."""

    async def main() -> None:
        client = ClientConnection(shared := Silent(), PUBLIC)
        client.connection_made(Wire())
        waits(client)
        assert client.exchange
        client.exchange.began_s -= 5.5
        is_asked(client)
        client.connection_lost(None)
        observers = shared.router.observers.of_slot.values()
        tallies = [tally for observer in observers for tally in observer.take().values()]
        assert [(tally.requests, tally.in_vain) for tally in tallies] == [(1, 0)]

    asyncio.run(main())


def test_reader_that_takes_nothing_is_cut_off_at_the_second_look() -> None:
    async def main() -> None:
        wire = Wire()
        client = ClientConnection(Silent(), PUBLIC)
        client.connection_made(wire)
        does_not_read(client)
        client.expired(0.0)
        assert not wire.closed
        assert client.deadline_s == LIMITS.stall_s
        client.expired(client.deadline_s)
        assert wire.closed

    asyncio.run(main())


def test_reply_that_has_begun_may_take_any_time() -> None:
    async def main() -> None:
        client = ClientConnection(Silent(), PUBLIC)
        client.connection_made(Wire())
        asks(client)
        assert client.exchange
        client.exchange.status = 200
        client.update_deadline()
        assert client.deadline_s == inf

    asyncio.run(main())
