"""Which side of a share a visitor is on, and stays on."""

import asyncio
import random
import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest

from slot_machine.core.upstream import INTERNAL, PREVIEW, PUBLIC, Beside
from slot_machine.proxy.exchange import Connection
from slot_machine.proxy.heads import request
from slot_machine.proxy.heads.visit import number_of
from slot_machine.proxy.outbound import AppConnection
from slot_machine.proxy.route import Route
from slot_machine.proxy.server import DataPlaneServer
from slot_machine.proxy.share import MOST_BARE, MOST_OFFERED, MOST_RECENT, Visitors
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.wire import Maintenance, Settings
from tests.proxy.in_memory import CANDIDATE, LIVE, Sides
from tests.proxy.talk import OK, SWITCHED, UPGRADE

SHARE = Beside(CANDIDATE, share=1000, share_id="5a5a5a5a")
HALF = msgspec.structs.replace(SHARE, share=5000)
NEARLY_ALL = msgspec.structs.replace(SHARE, share=9999)
EDGE = Settings(trusted_proxies=("127.0.0.1",))

PAGE = "Accept: text/html\r\n"
CROSS_SITE = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
SCRIPT = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n"
FOR_ALL = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok"
NOT_MODIFIED = b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n'


class Answer(NamedTuple):
    """`slot` is that of the version that had the request. `pin` is the value of the cookie that came with `reply`."""

    slot: str
    reply: bytes

    @property
    def pin(self) -> str:
        found = re.findall(rb"\r\nSet-Cookie: slot-machine-share-0=([^;]*); Path=/;", self.reply)
        return found[0].decode() if found else ""

    @property
    def number(self) -> int:
        return int(self.pin.partition(".")[2])


def asks(sides: Sides, fields: str = "", target: str = "/", method: str = "GET", reply: bytes = OK) -> Answer:
    client, wire = sides.client()
    client.data_received(f"{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode())
    exchange = client.exchange
    assert exchange
    assert exchange.route
    slot = exchange.route.upstream.slot
    assert isinstance(exchange.app, AppConnection)
    exchange.app.data_received(reply)
    return Answer(slot, wire.written)


def pinned(number: int, share_id: str = SHARE.share_id) -> str:
    return f"Cookie: x=1; slot-machine-share-0={share_id}.{number}\r\n"


def told(story: Callable[[], None]) -> None:
    async def in_a_loop() -> None:
        story()

    asyncio.run(in_a_loop())


def test_1000_visitors_with_100_requests_each_at_10_percent() -> None:
    def story() -> None:
        random.seed(17)
        sides, beside = Sides(SHARE), 0
        for _ in range(1000):
            first = asks(sides, PAGE)
            again = request.known[f"GET / HTTP/1.1\r\nHost: h\r\n{pinned(first.number)}\r\n".encode()].visit(SHARE, 0)
            assert (again.number < SHARE.share) == (first.slot == "b")
            beside += 100 * (first.slot == "b")
        assert 8_000 <= beside <= 12_000

    told(story)


def test_1000_addresses_without_cookies_at_10_percent() -> None:
    def story() -> None:
        sides = Sides(SHARE, EDGE)
        found = [asks(sides, f"X-Forwarded-For: 10.0.{n // 250}.{n % 250}\r\n").slot for n in range(1000)]
        assert 80 <= found.count("b") <= 120
        assert found == [asks(sides, f"X-Forwarded-For: 10.0.{n // 250}.{n % 250}\r\n").slot for n in range(1000)]

    told(story)


def test_both_sides_are_pinned_and_a_larger_share_moves_nobody_back() -> None:
    def story() -> None:
        sides = Sides(SHARE)
        visitors = {(answer := asks(sides, PAGE)).number: answer.slot for _ in range(200)}
        assert set(visitors.values()) == {"a", "b"}
        for share in (SHARE, HALF, NEARLY_ALL):
            sides.router.route(LIVE, beside=share)
            for number, before in visitors.items():
                answer = asks(sides, PAGE + pinned(number))
                assert answer.pin == ""
                assert answer.reply == OK
                assert answer.slot == ("b" if number < share.share else "a")
                assert (before, answer.slot) != ("b", "a")
                visitors[number] = answer.slot

    told(story)


def test_the_cookie_is_for_all_paths_and_follows_links_from_elsewhere() -> None:
    def story() -> None:
        reply = asks(Sides(SHARE), PAGE, "/deep/page").reply
        number = Answer("", reply).number
        line = f"Set-Cookie: slot-machine-share-0=5a5a5a5a.{number}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
        assert f"\r\n{line}\r\n".encode() in reply
        assert b"\r\nCache-Control: private\r\n" in reply
        behind_https = asks(Sides(SHARE, EDGE), PAGE + "X-Forwarded-Proto: https\r\n").reply
        assert b"; SameSite=Lax; Secure\r\n" in behind_https
        assert b"Secure" not in asks(Sides(SHARE), PAGE + "X-Forwarded-Proto: https\r\n").reply

    told(story)


def test_a_cross_site_entry_and_then_its_assets() -> None:
    def story() -> None:
        for _ in range(50):
            sides = Sides(HALF)
            page = asks(sides, CROSS_SITE)
            at_once = [asks(sides, SCRIPT, f"/{n}.js") for n in range(3)]
            assert [(answer.slot, answer.pin) for answer in at_once] == [(page.slot, "")] * 3
            assert asks(sides, SCRIPT + pinned(page.number), "/later.js").slot == page.slot

    told(story)


def test_assets_of_another_browser_at_the_same_address_do_not_follow() -> None:
    def story() -> None:
        sides = Sides(HALF)
        by_address = asks(sides, "User-Agent: curl\r\n").slot
        for _ in range(50):
            asks(sides, PAGE + "User-Agent: browser\r\n")
            assert asks(sides, "User-Agent: curl\r\n").slot == by_address

    told(story)


def test_a_forged_forwarding_field_does_not_choose_the_side() -> None:
    def story() -> None:
        direct, behind = Sides(HALF), Sides(HALF, EDGE)
        assert len({asks(direct, f"X-Forwarded-For: 10.1.1.{n}\r\n").slot for n in range(100)}) == 1
        assert len({asks(behind, f"X-Forwarded-For: 10.1.1.{n}, 192.0.2.7\r\n").slot for n in range(100)}) == 1
        assert len({asks(behind, f"X-Forwarded-For: 192.0.2.7, 10.1.1.{n}\r\n").slot for n in range(100)}) == 2

    told(story)


def test_addresses_of_ipv6_count_by_their_64_bits() -> None:
    def story() -> None:
        sides = Sides(HALF, EDGE)
        assert len({asks(sides, f"X-Forwarded-For: 2001:db8:1:1::{n:x}\r\n").slot for n in range(100)}) == 1
        assert len({asks(sides, f"X-Forwarded-For: 2001:db8:1:{n:x}::1\r\n").slot for n in range(100)}) == 2

    told(story)


@pytest.mark.parametrize(
    "form", ["10.0.0.{}:4711", "[2001:db8:1:{}::1]:4711", "::ffff:10.0.0.{}", "[::ffff:10.0.0.{}]:1"]
)
def test_visitors_whose_addresses_come_in_other_forms_are_told_apart(form: str) -> None:
    def story() -> None:
        sides = Sides(HALF, EDGE)
        assert len({asks(sides, f"X-Forwarded-For: {form.format(n)}\r\n").slot for n in range(100)}) == 2

    told(story)


@pytest.mark.parametrize("form", ["10.0.0.{}:4711", "::ffff:10.0.0.{}", "[::ffff:10.0.0.{}]:1"])
def test_a_visitor_is_the_same_one_in_each_form_of_the_address(form: str) -> None:
    def story() -> None:
        sides = Sides(HALF, EDGE)
        for number in range(50):
            fields = [f"X-Forwarded-For: {each.format(number)}\r\n" for each in ("10.0.0.{}", form)]
            assert len({asks(sides, field).slot for field in fields}) == 1

    told(story)


@pytest.mark.parametrize("value", ["0badc0de.1", "5a5a5a5a", "5a5a5a5a.", "5a5a5a5a.99999", "5a5a5a5a.-1", "", "5.5.5"])
def test_a_cookie_that_is_not_of_this_share_is_replaced(value: str) -> None:
    def story() -> None:
        answer = asks(Sides(SHARE), f"{PAGE}Cookie: a=b; slot-machine-share-0={value}; c=d\r\n")
        assert answer.pin.startswith("5a5a5a5a.")
        assert (answer.number < 1000) == (answer.slot == "b")

    told(story)


@pytest.mark.parametrize(
    "line", ["cookie: slot-machine-share-0=5a5a5a5a.7", "Cookie: a=b\r\nCookie: slot-machine-share-0=5a5a5a5a.7"]
)
def test_other_forms_of_the_cookie(line: str) -> None:
    told(lambda: check(asks(Sides(SHARE), f"{line}\r\nX-Last: 1\r\n"), "b", ""))


def test_apps_on_other_ports_of_the_host_have_cookies_of_their_own() -> None:
    def story() -> None:
        answer = asks(Sides(SHARE), f"{PAGE}Cookie: slot-machine-share-8080=5a5a5a5a.1; slot-machine-share-00=x\r\n")
        assert answer.pin != ""
        held = asks(Sides(Beside(CANDIDATE)), f"{PAGE}Cookie: slot-machine-share-8080=5a5a5a5a.1\r\n")
        assert held.reply == OK

    told(story)


@pytest.mark.parametrize(
    "fields",
    [
        "Cookie: xslot-machine-share-0=5a5a5a5a.0\r\n",
        "X-Note: slot-machine-share-0=5a5a5a5a.0\r\n",
        "Referer: http://x/?slot-machine-share-0=5a5a5a5a.0\r\n",
    ],
)
def test_no_link_and_no_other_field_chooses_the_side(fields: str) -> None:
    def story() -> None:
        random.seed(17)
        sides = Sides(NEARLY_ALL)
        sides.router.route(LIVE, beside=msgspec.structs.replace(SHARE, share=1))
        assert {asks(sides, PAGE + fields, "/?slot-machine-share-0=5a5a5a5a.0").slot for _ in range(50)} == {"a"}

    told(story)


def test_what_shared_caches_may_keep_carries_no_cookie_and_its_path_goes_by_address() -> None:
    def story() -> None:
        sides = Sides(HALF)
        first = asks(sides, PAGE, "/cached?q=1", reply=FOR_ALL)
        assert first.reply == FOR_ALL
        assert len({asks(sides, PAGE, f"/cached?q={n}", reply=FOR_ALL).slot for n in range(50)}) == 1
        by_address = asks(sides, SCRIPT, "/app.js").slot
        assert asks(sides, PAGE, "/cached", reply=FOR_ALL).slot == by_address
        assert len({asks(sides, PAGE, "/other").slot for n in range(50)}) == 2

    told(story)


def test_a_path_whose_pages_carry_the_cookie_again_is_drawn_again() -> None:
    def story() -> None:
        sides = Sides(HALF)
        asks(sides, PAGE, reply=FOR_ALL)
        asks(sides, PAGE)
        assert len({asks(sides, PAGE).slot for n in range(50)}) == 2

    told(story)


def test_a_browser_that_keeps_no_cookie_goes_by_address() -> None:
    def story() -> None:
        sides = Sides(HALF)
        within = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
        assert len({asks(sides, within, f"/{n}").slot for n in range(50)}) == 1
        without_tls = f"{PAGE}Referer: http://h/\r\n"
        assert len({asks(sides, without_tls, f"/{n}").slot for n in range(50)}) == 1
        assert len({asks(sides, f"{PAGE}Referer: http://other/\r\n", f"/{n}").slot for n in range(50)}) == 2
        assert len({asks(sides, f"{within}Cookie: session=1\r\n", f"/{n}").slot for n in range(50)}) == 2

    told(story)


@pytest.mark.parametrize(
    ("cookies", "sides_seen"),
    [
        ("cookie: session=1\r\n", 2),
        ("Cookie:  session=1\r\n", 2),
        ("Cookie: a=1\r\nCookie: b=2\r\n", 2),
        ("Cookie: session=1; slot-machine-preview-0=x\r\n", 2),
        ("Cookie: \r\n", 1),
        ("Cookie: slot-machine-preview-0=x\r\n", 1),
        ("Cookie: session=1\r\nConnection: cookie\r\n", 1),
    ],
)
def test_a_browser_that_keeps_no_cookie_is_known_by_what_the_app_gets(cookies: str, sides_seen: int) -> None:
    def story() -> None:
        sides = Sides(HALF)
        within = f"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n{cookies}"
        assert len({asks(sides, within, f"/{n}").slot for n in range(50)}) == sides_seen

    told(story)


def test_a_visitor_of_a_page_without_the_cookie_stays_on_its_side_behind_a_link_there() -> None:
    def story() -> None:
        sides = Sides(HALF)
        by_address = asks(sides, SCRIPT, "/app.js").slot
        asks(sides, PAGE, "/cached", reply=FOR_ALL)
        fields = f"{PAGE}Cookie: session=1\r\nReferer: http://h/%s\r\n"
        linked = [asks(sides, fields % f"cached?q={n}", f"/{n}") for n in range(50)]
        assert {answer.slot for answer in linked} == {by_address}
        assert {(answer.number < 5000) == (answer.slot == "b") for answer in linked} == {True}
        for other in ("other", "", "a//cached", "?/cached"):
            assert len({asks(sides, fields % other, f"/{n}").slot for n in range(50)}) == 2, other

    told(story)


@pytest.mark.parametrize("condition", ['If-None-Match: "1"', "if-modified-since: Sat, 28 Nov 2026 00:00:00 GMT"])
def test_a_browser_that_has_a_page_already_stays_on_its_side_though_a_304_carries_no_cookie(condition: str) -> None:
    def story() -> None:
        sides = Sides(HALF)
        by_address = asks(sides, SCRIPT, "/app.js").slot
        fields = f"{PAGE}Cookie: session=1\r\n{condition}\r\n"
        unchanged = [asks(sides, fields, f"/{n}", reply=NOT_MODIFIED) for n in range(50)]
        assert {(answer.slot, answer.pin) for answer in unchanged} == {(by_address, "")}
        changed = asks(sides, fields, "/changed")
        assert (changed.slot, changed.number < 5000) == (by_address, by_address == "b")

    told(story)


def test_a_page_inside_of_another_sites_stays_on_the_side_of_its_address() -> None:
    def story() -> None:
        sides = Sides(HALF)
        fields = "Sec-Fetch-Site: %s\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\nCookie: session=1\r\n"
        by_address = asks(sides, SCRIPT, "/app.js").slot
        first = asks(sides, fields % "cross-site", "/0")
        assert (first.number < 5000) == (first.slot == "b")
        frames = [asks(sides, fields % "same-origin", f"/{n}") for n in range(50)]
        assert {answer.slot for answer in (first, *frames)} == {by_address}

    told(story)


def test_a_client_that_keeps_no_cookies_is_offered_one_once() -> None:
    def story() -> None:
        sides = Sides(HALF)
        first, *others = [asks(sides, "User-Agent: script\r\n", f"/{n}") for n in range(20)]
        assert (first.number < 5000) == (first.slot == "b")
        assert {(other.slot, other.reply) for other in others} == {(first.slot, OK)}

    told(story)


def test_parts_of_a_page_and_forms_of_other_sites_get_no_cookie() -> None:
    def story() -> None:
        sides = Sides(HALF)
        assert asks(sides, SCRIPT, "/app.js").pin == ""
        assert asks(sides, "", "/app-0a1b2c3d.js").pin == ""
        assert asks(sides, CROSS_SITE + "Content-Length: 0\r\n", "/paid", "POST").pin == ""
        assert asks(sides, "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: empty\r\n", "/api", "POST").pin != ""
        assert asks(sides, "User-Agent: app\r\n", "/api").pin != ""

    told(story)


def test_the_apps_own_cookie_decides_for_all_devices_of_a_user() -> None:
    def story() -> None:
        beside = msgspec.structs.replace(HALF, cookie="user", cookie_values=("ada", "eve"))
        sides = Sides(beside)
        for name in map(str, range(50)):
            found = {
                asks(sides, f"{PAGE}Cookie: user={name}; slot-machine-share-0=5a5a5a5a.{n}\r\n").slot for n in (0, 9999)
            }
            assert len(found) == 1
        slots = {asks(sides, f"{PAGE}Cookie: user={n}\r\n").slot for n in range(50)}
        assert slots == {"a", "b"}
        assert asks(sides, f"{PAGE}Cookie: user=1\r\n").reply == OK
        assert asks(sides, f"{PAGE}Cookie: a=b\r\n").pin != ""

        sides.router.route(LIVE, beside=msgspec.structs.replace(beside, share=1))
        assert asks(sides, "Cookie: user=ada; slot-machine-share-0=5a5a5a5a.9999\r\n").slot == "b"
        assert asks(sides, 'Cookie: a=b; user="eve"\r\n').slot == "b"
        assert asks(sides, "Cookie: user=adam\r\n").slot == "a"

    told(story)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ada@x", b"ada%40x"), ("ada@x", b'"ada@x"'), ("a%40x", b"a%40x"), ("\u00e9", b"\xc3\xa9"), ("\u00e9", b"%c3%A9")],
)
def test_named_users_are_known_in_the_form_in_which_frameworks_write_cookies(name: str, value: bytes) -> None:
    lines = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: user=%b\r\n\r\n"
    beside = msgspec.structs.replace(SHARE, cookie="user", cookie_values=("eve", name))
    assert request.RequestHead(lines % value).visit(beside, 0).number == 0
    assert request.RequestHead(lines % b"other%ff").visit(beside, 0).number == number_of(SHARE.share_id, "other%ff")


def test_a_websocket_goes_where_its_visitor_is() -> None:
    def story() -> None:
        sides = Sides(SHARE)
        for number, slot in ((999, "b"), (1000, "a")):
            head = UPGRADE.replace(b"Host: h\r\n", f"Host: h\r\n{pinned(number)}".encode())
            client, wire = sides.client()
            client.data_received(head)
            assert sides.asked[-1].slot == slot
            sides.asked[-1].app.data_received(SWITCHED)
            assert b"101 Switching" in wire.written
            assert b"Set-Cookie" not in wire.written

    told(story)


def test_the_internal_listener_gets_the_live_version() -> None:
    def story() -> None:
        sides = Sides()
        addresses = {**LIVE.addresses, INTERNAL: LIVE.addresses["public"]}
        sides.router.route(msgspec.structs.replace(LIVE, run_id=3, addresses=addresses), beside=NEARLY_ALL)
        sides.ask(f"GET / HTTP/1.1\r\nHost: h\r\n{pinned(1)}\r\n".encode(), INTERNAL)
        assert sides.asked[-1].slot == "a"

    told(story)


def test_while_no_share_is_in_force_its_cookie_is_ended() -> None:
    def story() -> None:
        sides = Sides(Beside(CANDIDATE, token="t"))
        answer = asks(sides, PAGE + pinned(1))
        assert answer.slot == "a"
        assert b"\r\nSet-Cookie: slot-machine-share-0=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax\r\n" in answer.reply
        assert asks(sides, PAGE + pinned(1), reply=FOR_ALL).reply == FOR_ALL
        assert asks(sides, PAGE).reply == OK

    told(story)


ENDED = b"\r\nSet-Cookie: slot-machine-share-0=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax\r\n"


@pytest.mark.parametrize("fields", [pinned(1), f"Cookie: slot-machine-preview-8080=x\r\n{pinned(1)}"])
def test_after_a_share_its_cookie_is_ended_though_nothing_is_held(fields: str) -> None:
    def story() -> None:
        sides = Sides(HALF)
        assert asks(sides, PAGE + fields).reply == OK
        sides.router.route(LIVE)
        for _ in range(2):
            answer = asks(sides, PAGE + fields)
            assert answer.slot == "a"
            assert answer.reply.count(ENDED) == 1
            assert b"\r\nCache-Control: private\r\n" in answer.reply
        assert asks(sides, PAGE).reply == OK

    told(story)


def test_the_cookie_of_a_share_is_ended_by_the_rules_by_which_it_was_given() -> None:
    def story() -> None:
        sides = Sides(None, EDGE)
        https = asks(sides, PAGE + pinned(1) + "X-Forwarded-Proto: https\r\n").reply
        assert b"; Max-Age=0; HttpOnly; SameSite=Lax; Secure\r\n" in https
        assert asks(sides, PAGE + pinned(1), reply=FOR_ALL).reply == FOR_ALL
        assert asks(sides, SCRIPT + pinned(1), "/app.js").reply == OK
        assert asks(sides, pinned(1), "/app-0a1b2c3d.js").reply == OK
        assert asks(sides, CROSS_SITE + pinned(1) + "Content-Length: 0\r\n", "/paid", "POST").reply == OK
        assert asks(sides, PAGE + pinned(1).replace("-0=", "-8080=")).reply == OK
        assert asks(sides, PAGE + pinned(1).replace("slot-", "xslot-")).reply == OK

    told(story)


@pytest.mark.parametrize("listener", [INTERNAL, PREVIEW])
def test_other_listeners_do_not_end_the_cookie_of_a_share(listener: str) -> None:
    def story() -> None:
        sides = Sides()
        addresses = dict.fromkeys((INTERNAL, PREVIEW), LIVE.addresses[PUBLIC])
        sides.router.route(msgspec.structs.replace(LIVE, run_id=3, addresses=addresses))
        wire = sides.ask(f"GET / HTTP/1.1\r\nHost: h\r\n{pinned(1)}\r\n".encode(), listener)
        if sides.asked:
            sides.asked[-1].app.data_received(OK)
        assert b"Set-Cookie" not in wire.written
        assert wire.written

    told(story)


def test_under_maintenance_and_beside_a_preview_that_has_ended_each_cookie_gets_its_turn() -> None:
    def story() -> None:
        sides = Sides()
        both = f"{PAGE}Cookie: slot-machine-preview-0=x; slot-machine-share-0=5a5a5a5a.1\r\n"
        sides.maintain(Maintenance("soon"))
        page = sides.ask(f"GET / HTTP/1.1\r\nHost: h\r\n{both}\r\n".encode()).written
        assert page.startswith(b"HTTP/1.1 503 ")
        assert b"Set-Cookie" not in page
        sides.maintain(None)
        reply = asks(sides, both).reply
        assert b"\r\nSet-Cookie: slot-machine-preview-0=; Max-Age=0;" in reply
        assert ENDED not in reply

    told(story)


def test_a_request_keeps_its_number_while_it_is_claimed_again() -> None:
    def story() -> None:
        for _ in range(20):
            sides = Sides()
            sides.router.hold()
            client, wire = sides.client()
            client.data_received(f"GET / HTTP/1.1\r\nHost: h\r\n{PAGE}\r\n".encode())
            sides.router.route(LIVE, beside=HALF)
            exchange = client.exchange
            assert exchange
            assert exchange.route
            assert len({exchange.goes_beside(HALF) for _ in range(10)}) == 1
            sides.asked[-1].app.data_received(OK)
            assert (Answer("", wire.written).number < 5000) == (sides.asked[-1].slot == "b")

    told(story)


class Claim:
    """A request that is answered at once."""

    listener = PUBLIC
    endless = False

    def __init__(self, head: request.RequestHead, slots: list[str]) -> None:
        self.head = head
        self.slots = slots

    def goes_beside(self, beside: Beside) -> bool:
        return 0 <= self.head.visit(beside, 0).number < beside.share

    def claimed(self, route: Route[Connection] | None) -> None:
        assert route
        self.slots.append(route.upstream.slot)
        route.release(self, True)

    def waits(self) -> None:
        raise AssertionError

    def cut(self) -> None:
        raise AssertionError

    def wind_up(self, within_s: float) -> None:
        raise AssertionError(within_s)


def test_100000_requests_after_the_end_of_a_share() -> None:
    def story() -> None:
        router, slots = Sides(NEARLY_ALL).router, list[str]()
        heads = [request.known[f"GET /{n} HTTP/1.1\r\nHost: h\r\n{pinned(n)}\r\n".encode()] for n in range(100)]
        claims = [Claim(head, slots) for head in heads]
        router.claim(claims[0])
        assert slots == ["b"]
        router.route(LIVE)
        for _ in range(1000):
            for claim in claims:
                router.claim(claim)
        assert slots.count("b") == 1
        assert len(slots) == 100_001

    told(story)


@pytest.mark.parametrize("holding", [False, True])
def test_a_worker_that_begins_during_a_share(holding: bool) -> None:
    shared = Shared(Settings(upstream=LIVE, beside=SHARE, holding=holding))
    assert (shared.router.beside, shared.router.holding) == (SHARE, holding)
    assert DataPlaneServer(Settings(), shared).introduction().beside == SHARE


def test_what_a_worker_remembers_is_bounded() -> None:
    def story() -> None:
        sides = Sides(HALF, EDGE)
        for number in range(max(MOST_RECENT, MOST_BARE, MOST_OFFERED) + 10):
            asks(sides, f"{PAGE}User-Agent: {number}\r\n", f"/{number}", reply=FOR_ALL)
            asks(sides, f"User-Agent: script {number}\r\n")
        visitors = sides.visitors
        assert vars(Visitors()).keys() == vars(visitors).keys()
        sizes = {name: len(value) for name, value in vars(visitors).items()}
        assert sizes == {"_share_id": 8, "_recent": MOST_RECENT, "_bare": MOST_BARE, "_offered": MOST_OFFERED}
        assert {type(key) for known in (visitors._recent, visitors._bare, visitors._offered) for key in known} == {int}

    told(story)


def check(answer: Answer, slot: str, pin: str) -> None:
    assert (answer.slot, answer.pin) == (slot, pin)
