"""A request's rule for its reply: what the client gets of the app's, and from which side."""

import asyncio

import pytest

from slot_machine.core.upstream import Beside
from slot_machine.proxy.heads.reply import Change, ReplyHead
from tests.proxy.in_memory import CANDIDATE, Sides, Wire
from tests.proxy.talk import EVENTS, GET, OK, POST, SWITCHED, UPGRADE

MARK = Change(b"X-Rule: 1\r\n")
PRIVATE = Change(b"Cache-Control: private, no-store\r\n", private=True)
CACHED = (
    b"HTTP/1.1 200 OK\r\ncache-Control: max-age=60\r\nExpires: 0\r\nX-Cache-Control: x\r\nCDN-Cache-Control: max-age=1"
    b"\r\nX-Accel-Expires: 60\r\nsurrogate-control: max-age=5\r\nX-LiteSpeed-Cache-Control: public"
    b"\r\nPragma: y\r\nVary: a\r\nContent-Length: 2\r\n\r\nok"
)
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"


class Rule:
    """Asks the other side if the first one has nothing."""

    def __init__(self, change: Change | None) -> None:
        self._change = change

    def change(self, _: ReplyHead) -> Change | None:
        return self._change

    def elsewhere(self, head: ReplyHead) -> bool:
        return head.status == 404


def asked(sides: Sides, request: bytes, change: Change | None = None) -> Wire:
    client, wire = sides.client()
    client.data_received(request)
    assert client.exchange
    client.exchange.rule = Rule(change)
    return wire


@pytest.mark.parametrize("request_head", [GET, POST, GET.replace(b"1.1", b"1.0"), GET.replace(b"GET", b"HEAD")])
@pytest.mark.parametrize("often", [1, 2])
def test_fields_are_added_to_every_reply(request_head: bytes, often: int) -> None:
    async def story() -> None:
        sides = Sides()
        for _ in range(often):
            wire = asked(sides, request_head, MARK)
            sides.asked[-1].app.data_received(OK)
            assert wire.written.count(b"\r\nX-Rule: 1\r\n") == 1

    asyncio.run(story())


@pytest.mark.parametrize(("request_head", "reply"), [(UPGRADE, SWITCHED), (GET, EVENTS)])
def test_fields_are_added_to_endless_replies(request_head: bytes, reply: bytes) -> None:
    async def story() -> None:
        sides = Sides()
        wire = asked(sides, request_head, MARK)
        sides.asked[-1].app.data_received(reply)
        assert wire.written.count(b"\r\nX-Rule: 1\r\n") == 1

    asyncio.run(story())


def test_what_tells_caches_to_keep_the_reply_is_replaced() -> None:
    async def story() -> None:
        sides = Sides()
        wire = asked(sides, GET, PRIVATE)
        sides.asked[-1].app.data_received(CACHED)
        lines = b"X-Cache-Control: x\r\nVary: a\r\nContent-Length: 2\r\nCache-Control: private, no-store\r\n\r\nok"
        assert wire.written == b"HTTP/1.1 200 OK\r\n" + lines

    asyncio.run(story())


def test_without_a_rule_the_same_reply_is_passed_on_as_it_came() -> None:
    async def story() -> None:
        sides = Sides()
        asked(sides, GET, PRIVATE)
        sides.asked[-1].app.data_received(CACHED)
        wire = sides.ask(GET.replace(b" / ", b" /2 "))
        sides.asked[-1].app.data_received(CACHED)
        assert wire.written == CACHED

    asyncio.run(story())


def test_the_other_side_is_asked_once_and_the_first_reply_is_dropped() -> None:
    async def story() -> None:
        sides = Sides(Beside(CANDIDATE))
        wire = asked(sides, GET, MARK)
        sides.asked[0].app.data_received(MISSING)
        assert (wire.written, sides.asked[0].wire.closed) == (b"", True)
        sides.asked[1].app.data_received(MISSING)

        assert [each.slot for each in sides.asked] == ["a", "b"]
        assert wire.written.startswith(b"HTTP/1.1 404 ")
        assert sides.router.measure()["a"].in_flight == sides.router.measure()["b"].in_flight == 0

    asyncio.run(story())


def test_while_requests_are_held_the_other_side_is_asked_afterwards() -> None:
    async def story() -> None:
        sides = Sides(Beside(CANDIDATE))
        wire = asked(sides, GET)
        assert sides.router.upstream
        live = sides.router.upstream
        sides.router.hold()
        sides.asked[0].app.data_received(MISSING)
        assert len(sides.asked) == 1
        sides.router.route(live, beside=Beside(CANDIDATE))
        sides.asked[1].app.data_received(OK)
        assert wire.written == OK

    asyncio.run(story())


@pytest.mark.parametrize(("beside", "request_head"), [(None, GET), (Beside(CANDIDATE), POST)])
def test_without_another_side_or_with_a_body_the_reply_is_passed_on(beside: Beside | None, request_head: bytes) -> None:
    async def story() -> None:
        sides = Sides(beside)
        wire = asked(sides, request_head)
        sides.asked[0].app.data_received(MISSING)
        assert wire.written.startswith(b"HTTP/1.1 404 ")

    asyncio.run(story())
