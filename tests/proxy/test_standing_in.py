"""What one version does not take or does not have is asked of the other one: once, and only by the rules."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from slot_machine.core.minutes import LATE_S, Tally
from slot_machine.core.upstream import Beside
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.pool import Pool
from tests.proxy.in_memory import CANDIDATE, LIVE, Sides, Wire
from tests.proxy.talk import OK, POST

SHARE = Beside(CANDIDATE, share=5000, share_id="5a5a5a5a")
HELD = Beside(CANDIDATE, token="t")
WATCHED = Beside(CANDIDATE, stands_in=True)

PIN_NEW, PIN_OLD = (
    b"Cookie: slot-machine-share-0=5a5a5a5a.0\r\n\r\n",
    b"Cookie: slot-machine-share-0=5a5a5a5a.9999\r\n\r\n",
)
NEW, OLD = b"GET / HTTP/1.1\r\nHost: h\r\n" + PIN_NEW, b"GET / HTTP/1.1\r\nHost: h\r\n" + PIN_OLD
FILE = b"GET /assets/app-0a1b2c3d.js?v=1 HTTP/1.1\r\nHost: h\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"


class Machine(Sides):
    """Versions whose slot is in `refusing` don't accept a connection."""

    def __init__(self, beside: Beside | None, *refusing: str) -> None:
        super().__init__(beside)
        self.refusing = refusing
        self.tried: list[str] = []

    def connect(self, pool: Pool[Connection], exchange: Exchange) -> None:
        assert exchange.route
        slot = exchange.route.upstream.slot
        self.tried.append(slot)
        if slot in self.refusing:
            asyncio.get_running_loop().call_soon(exchange.not_opened, "Connection refused")
        else:
            super().connect(pool, exchange)

    @property
    def slots(self) -> list[str]:
        return [asked.slot for asked in self.asked]

    def errors(self) -> dict[str, int]:
        return {slot: totals.errors for slot, totals in self.router.measure().items() if slot}

    def check_rest(self) -> None:
        assert all(totals.in_flight == 0 for totals in self.router.measure().values())


def told(machine: Callable[[], Machine], story: Callable[[Machine], Wire], expected: bytes) -> Machine:
    """What the client gets in the end. The versions that accept connections answer what `story` does not."""

    async def in_a_loop() -> Machine:
        made = machine()
        wire = story(made)
        for _ in range(5):
            await asyncio.sleep(0)
            if made.asked and not made.asked[-1].wire.closed and not wire.written:
                made.asked[-1].app.data_received(OK)
        assert wire.written.startswith(b"HTTP/1.1 " + expected)
        assert wire.written.count(b"HTTP/1.1 ") == 1
        made.check_rest()
        return made

    return asyncio.run(in_a_loop())


def test_a_candidate_that_refuses_in_a_share() -> None:
    made = told(lambda: Machine(SHARE, "b"), lambda made: made.ask(NEW), b"200")
    assert (made.tried, made.errors()) == (["b", "a"], {"a": 0, "b": 1})


def tally_of(machine: Machine, slot: str) -> Tally:
    return machine.router.observers.of(slot).take()["/"]


def test_one_visitor_whose_requests_a_candidate_does_not_take_is_one_visitor() -> None:
    def story(made: Machine) -> Wire:
        for _ in range(2):
            wire = made.ask(NEW)
            made.asked[-1].app.connection_lost(None)
            made.asked[-1].app.data_received(OK)
        return wire

    made = told(lambda: Machine(SHARE), story, b"200")
    tally = tally_of(made, "b")
    assert made.slots == ["b", "a"] * 2
    assert (tally.errors, tally.again) == (2, 1)


def test_a_candidate_that_ends_without_a_reply_after_a_long_time_has_failed_once() -> None:
    def story(made: Machine) -> Wire:
        client, wire = made.client()
        client.data_received(NEW)
        assert client.exchange
        client.exchange.began_s -= 2 * LATE_S
        client.exchange.waits_long()
        made.asked[0].app.connection_lost(None)
        return wire

    made = told(lambda: Machine(SHARE), story, b"200")
    tally, of_the_other = tally_of(made, "b"), tally_of(made, "a")
    assert (tally.asked, tally.failed, tally.late) == (1, 1, 1)
    assert (of_the_other.asked, of_the_other.late) == (1, 0)


def test_a_request_with_a_body_that_no_app_has_got() -> None:
    request = POST.replace(b"\r\n\r\nhi", b"\r\n" + PIN_NEW + b"hi")
    made = told(lambda: Machine(SHARE, "b"), lambda made: made.ask(request), b"200")
    assert made.asked[0].wire.written.endswith(b"\r\n\r\nhi")


def test_a_candidate_that_ends_without_a_reply() -> None:
    def story(made: Machine) -> Wire:
        wire = made.ask(NEW)
        made.asked[0].app.connection_lost(None)
        return wire

    made = told(lambda: Machine(SHARE), story, b"200")
    assert (made.slots, made.errors()) == (["b", "a"], {"a": 0, "b": 1})


def test_a_candidate_that_ends_with_a_request_that_must_not_be_repeated() -> None:
    def story(made: Machine) -> Wire:
        wire = made.ask(POST.replace(b"\r\n\r\nhi", b"\r\n" + PIN_NEW + b"hi"))
        made.asked[0].app.connection_lost(None)
        return wire

    made = told(lambda: Machine(SHARE), story, b"502")
    assert (made.slots, made.errors()) == (["b"], {"a": 0, "b": 1})


def test_a_candidate_that_ends_after_a_request_on_a_connection_that_it_had_kept() -> None:
    def story(made: Machine) -> Wire:
        made.ask(NEW)
        made.asked[0].app.data_received(OK)
        wire = made.ask(NEW)
        made.refusing = ("b",)
        made.asked[0].app.connection_lost(None)
        return wire

    made = told(lambda: Machine(SHARE), story, b"200")
    assert made.tried == ["b", "b", "a"]


def test_no_request_goes_back_and_forth() -> None:
    both = msgspec.structs.replace(SHARE, stands_in=True)
    made = told(lambda: Machine(both, "a", "b"), lambda made: made.ask(NEW), b"502")
    assert (made.tried, made.errors()) == (["b", "a"], {"a": 1, "b": 1})


TOKEN = b"Slot-Machine-Preview: t\r\n"
PREVIEWED = msgspec.structs.replace(SHARE, token="t")


def test_nobody_stands_in_for_a_version_that_is_previewed() -> None:
    head = b"GET / HTTP/1.1\r\nHost: h\r\n" + TOKEN + PIN_NEW
    assert told(lambda: Machine(PREVIEWED, "b"), lambda made: made.ask(head), b"502").tried == ["b"]


@pytest.mark.parametrize(
    ("token", "status", "asked"),
    [(b"Cookie: slot-machine-preview-0=t\r\n", b"200", ["b", "a"]), (TOKEN, b"404", ["b"])],
)
def test_a_file_that_a_previewed_version_does_not_have(token: bytes, status: bytes, asked: list[str]) -> None:
    """A browser may have opened the page before; a script is to see what is missing."""

    def story(made: Machine) -> Wire:
        wire = made.ask(FILE + token + b"\r\n")
        made.asked[0].app.data_received(NOT_FOUND)
        return wire

    assert told(lambda: Machine(PREVIEWED), story, status).slots == asked


@pytest.mark.parametrize(("beside", "head"), [(SHARE, OLD), (HELD, OLD), (None, OLD)])
def test_nobody_stands_in_for_the_live_version(beside: Beside | None, head: bytes) -> None:
    made = told(lambda: Machine(beside, "a"), lambda made: made.ask(head), b"502")
    assert made.tried == ["a"]


def test_the_old_version_stands_in_while_the_new_one_is_watched() -> None:
    made = told(lambda: Machine(WATCHED, "a"), lambda made: made.ask(OLD), b"200")
    assert (made.tried, made.errors()) == (["a", "b"], {"a": 1, "b": 0})


def test_with_nothing_live_a_candidate_that_refuses() -> None:
    def machine() -> Machine:
        made = Machine(None, "b")
        made.router.route(None, beside=SHARE)
        return made

    assert told(machine, lambda made: made.ask(NEW), b"502").tried == ["b"]


def test_a_share_that_ends_while_a_candidate_refuses() -> None:
    def story(made: Machine) -> Wire:
        wire = made.ask(NEW)
        made.router.route(LIVE)
        return wire

    assert told(lambda: Machine(SHARE, "b"), story, b"200").tried == ["b", "a"]


@pytest.mark.parametrize(
    ("beside", "pin", "slots"),
    [
        (SHARE, PIN_NEW, ["b", "a"]),
        (SHARE, PIN_OLD, ["a", "b"]),
        (HELD, PIN_OLD, ["a", "b"]),
        (WATCHED, PIN_OLD, ["a", "b"]),
        (HELD, b"\r\n", ["a", "b"]),
        (WATCHED, b"\r\n", ["a", "b"]),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_file_that_one_side_does_not_have(beside: Beside, pin: bytes, slots: list[str], method: bytes) -> None:
    def story(made: Machine) -> Wire:
        wire = made.ask(FILE.replace(b"GET", method) + pin)
        made.asked[0].app.data_received(NOT_FOUND)
        return wire

    assert told(lambda: Machine(beside), story, b"200").slots == slots


@pytest.mark.parametrize("fields", [b"", b"Accept: text/html\r\n"])
def test_a_file_that_one_side_does_not_have_for_a_visitor_without_a_cookie(fields: bytes) -> None:
    """One that is part of a page, and one that the browser shows by itself."""

    def story(made: Machine) -> Wire:
        wire = made.ask(FILE + fields + b"\r\n")
        made.asked[0].app.data_received(NOT_FOUND)
        return wire

    assert sorted(told(lambda: Machine(SHARE), story, b"200").slots) == ["a", "b"]


def test_a_file_that_one_side_does_not_have_after_a_long_time_is_no_failure() -> None:
    def story(made: Machine) -> Wire:
        client, wire = made.client()
        client.data_received(FILE + PIN_NEW)
        assert client.exchange
        client.exchange.waits_long()
        made.asked[0].app.data_received(NOT_FOUND)
        return wire

    assert told(lambda: Machine(SHARE), story, b"200").router.observers.of("b").take() == {}


@pytest.mark.parametrize(
    "head",
    [
        FILE.replace(b"GET", b"POST") + b"Content-Length: 0\r\n",
        FILE.replace(b"app-0a1b2c3d.js", b"app.js"),
        FILE.replace(b"app-0a1b2c3d.js", b"12345678"),
        FILE.replace(b"assets/app-0a1b2c3d.js?v=1", b"page?file=app-0a1b2c3d.js"),
    ],
)
def test_anything_else_that_one_side_does_not_have(head: bytes) -> None:
    def story(made: Machine) -> Wire:
        wire = made.ask(head + PIN_NEW)
        made.asked[0].app.data_received(NOT_FOUND)
        return wire

    assert told(lambda: Machine(SHARE), story, b"404").slots == ["b"]


@pytest.mark.parametrize("refusing", [(), ("a",)])
def test_a_file_that_neither_side_has(refusing: tuple[str, ...]) -> None:
    def story(made: Machine) -> Wire:
        wire = made.ask(FILE + PIN_NEW)
        made.asked[0].app.data_received(NOT_FOUND)
        if not refusing:
            made.asked[1].app.data_received(NOT_FOUND)
        return wire

    assert told(lambda: Machine(SHARE, *refusing), story, b"404").tried == ["b", "a"]


@pytest.mark.parametrize(
    "reply",
    [
        NOT_FOUND,
        OK.replace(b"200 OK", b"500 No"),
        OK.replace(b"OK\r\n", b"OK\r\nContent-Type: text/html;charset=x\r\n"),
    ],
)
def test_visitors_of_the_live_version_see_no_page_of_a_candidate_by_the_name_of_a_file(reply: bytes) -> None:
    """Also if that reply is known already."""

    def story(made: Machine) -> Wire:
        for _ in range(2):
            wire = made.ask(FILE + b"\r\n")
            made.asked[-1].app.data_received(NOT_FOUND)
            made.asked[-1].app.data_received(reply)
            assert b"there is no such file" in wire.written
        return wire

    assert told(lambda: Machine(HELD), story, b"404").slots == ["a", "b"] * 2


def test_a_file_that_a_first_candidate_does_not_have() -> None:
    def machine() -> Machine:
        made = Machine(None)
        made.router.route(None, beside=SHARE)
        return made

    def story(made: Machine) -> Wire:
        wire = made.ask(FILE + PIN_NEW)
        made.asked[0].app.data_received(NOT_FOUND)
        return wire

    assert told(machine, story, b"404").tried == ["b"]


def test_errors_are_no_missing_files() -> None:
    def story(made: Machine) -> Wire:
        wire = made.ask(FILE + PIN_NEW)
        made.asked[0].app.data_received(OK.replace(b"200 OK", b"500 No"))
        return wire

    assert told(lambda: Machine(msgspec.structs.replace(SHARE, share=10_000)), story, b"500").slots == ["b"]
