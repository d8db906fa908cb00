"""Who gets a preview, and what tokens lead to: on wires in memory."""

import asyncio
import itertools
import json

import pytest

from slot_machine.core.upstream import INTERNAL, PREVIEW, PUBLIC, Address, Beside, Upstream
from slot_machine.proxy.wire import Maintenance, Settings
from tests.proxy.in_memory import LIVE, Sides, Wire
from tests.proxy.talk import EVENTS, OK, SWITCHED

TOKEN = "kept_-secret"
COOKIE = "Cookie: a=1; slot-machine-preview-8080=" + TOKEN
FIELD = "Slot-Machine-Preview: " + TOKEN
LINK = "/?slot-machine-preview=" + TOKEN
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket"
HELD = Upstream(2, "b", {name: Address("127.0.0.1", 2) for name in (PUBLIC, INTERNAL, PREVIEW)})
BESIDE = Beside(HELD, TOKEN)
SET = f"Set-Cookie: slot-machine-preview-8080={TOKEN}; Path=/; HttpOnly; SameSite=Lax"
KEPT = OK.replace(b"\r\n\r\n", b"\r\nCache-Control: public, max-age=60\r\n\r\n")
PRIVATE = b"\r\nCache-Control: private, no-store\r\nX-Robots-Tag: noindex\r\n"


def plane(beside: Beside | None = BESIDE, settings: Settings | None = None) -> Sides:
    sides = Sides(beside, settings or Settings())
    sides.port = 8080
    return sides


def request(target: str = "/", *fields: str, method: str = "GET") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", "Host: h", *fields, "")).encode()


def answer(wire: Wire) -> tuple[int, dict[str, str], bytes]:
    head, _, body = wire.written.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), body


def slot(sides: Sides, asked: bytes, listener: str = PUBLIC) -> str:
    """Where the request goes; empty if the proxy answers it."""
    before = len(sides.asked)
    wire = sides.ask(asked, listener)
    assert bool(wire.written) == (len(sides.asked) == before)
    return sides.asked[-1].slot if len(sides.asked) > before else ""


def test_a_link_sets_a_cookie_and_leads_to_the_address_without_the_token() -> None:
    async def story() -> None:
        sides = plane()
        for method, _ in itertools.product(("GET", "HEAD"), range(2)):
            target = f"/a%20b?x=%31&slot-machine-preview={TOKEN}&y=+1"
            status, fields, body = answer(sides.ask(request(target, method=method)))
            assert (status, fields["Location"], body) == (303, "/a%20b?x=%31&y=+1", b"")
            assert "Set-Cookie: " + fields["Set-Cookie"] == SET
            assert (fields["Cache-Control"], fields["Referrer-Policy"]) == ("no-store", "no-referrer")
            assert fields["Clear-Site-Data"] == '"cache"', "the browser may have kept pages of the live version"
        assert sides.asked == [], "the app has no part in it"

    asyncio.run(story())


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example/", "//", "///a", "/\\/a", "/a//b"])
def test_a_link_leads_nowhere_else(path: str) -> None:
    async def story() -> None:
        target = f"{path}?slot-machine-preview={TOKEN}"
        location = answer(plane().ask(request(target)))[1]["Location"]
        assert location == (path if path[1] == "a" else f"/.{path}")
        assert answer(plane().ask(request(f"http://evil.example{target}")))[1]["Location"] == location

    asyncio.run(story())


@pytest.mark.parametrize(
    ("trusted", "proto", "secure"),
    [
        ((), "https", False),
        (("127.0.0.1",), "https", True),
        (("127.0.0.1",), "HTTPS", True),
        (("127.0.0.1",), "http", False),
    ],
)
def test_the_cookie_is_secure_where_a_trusted_proxy_speaks_tls(
    trusted: tuple[str, ...], proto: str, secure: bool
) -> None:
    async def story() -> None:
        sides = plane(settings=Settings(trusted_proxies=trusted))
        fields = answer(sides.ask(request(LINK, f"X-Forwarded-Proto: {proto}")))[1]
        assert fields["Set-Cookie"].endswith("; Secure") == secure

    asyncio.run(story())


def test_off_ends_the_preview_of_that_browser() -> None:
    async def story() -> None:
        off = "/a?slot-machine-preview=off"
        for beside in (BESIDE, None):
            status, fields, _ = answer(plane(beside).ask(request(off, COOKIE)))
            assert (status, fields["Location"], "Clear-Site-Data" in fields) == (303, "/a", False)
            assert fields["Set-Cookie"].startswith("slot-machine-preview-8080=; Max-Age=0; Path=/; ")
        assert slot(plane(), request(off, COOKIE, "Content-Length: 0", method="POST")) == "a"

    asyncio.run(story())


@pytest.mark.parametrize("beside", [BESIDE, None, Beside(HELD)])
@pytest.mark.parametrize(
    "asked",
    [
        request("/?slot-machine-preview=old"),
        request("/?slot-machine-preview="),
        request("/", "Slot-Machine-Preview: old"),
        request("/", "Slot-Machine-Preview: "),
        request("/", "Slot-Machine-Preview: kept_-secreT"),
        request("/", "Slot-Machine-Preview: old", COOKIE),
        request("/?slot-machine-preview=old", COOKIE),
        request(LINK, "Slot-Machine-Preview: old"),
        request("/", "Slot-Machine-Preview: old", UPGRADE),
        request("/?slot-machine-preview=old", "Content-Length: 0", method="POST"),
    ],
)
def test_a_token_that_is_not_valid_is_no_request_for_the_live_version(beside: Beside | None, asked: bytes) -> None:
    async def story() -> None:
        sides = plane(beside)
        status, fields, body = answer(sides.ask(asked))
        assert (status, fields["Cache-Control"], sides.asked) == (404, "no-store", [])
        assert b"this preview has ended" in body
        wire = sides.ask(asked.replace(b"Host: h\r\n", b"Host: h\r\nAccept: application/json\r\n"))
        assert json.loads(answer(wire)[2])["status"] == 404

    asyncio.run(story())


KINDS: list[tuple[str, list[str]]] = [("GET", []), ("POST", ["Content-Length: 0"]), ("GET", [UPGRADE]), ("HEAD", [])]
SHARED = Beside(HELD, TOKEN, share=5000, share_id="id")


@pytest.mark.parametrize(("method", "more"), KINDS)
def test_the_order_is_preview_then_share_then_live(method: str, more: list[str]) -> None:
    """Each combination of where a token is, and of the side that the share's cookie decides for."""
    tokens: list[tuple[str | None, ...]] = list(itertools.product((None, TOKEN, "old"), repeat=3))
    numbers = {None: "a", 100: "b", 9000: "a"}

    async def story() -> None:
        for (link, field, cookie), number in itertools.product(tokens, numbers):
            target = f"/?slot-machine-preview={link}" if link else "/"
            fields = [f"Slot-Machine-Preview: {field}"] * bool(field)
            cookies = [f"slot-machine-preview-8080={cookie}"] * bool(cookie)
            cookies += [f"slot-machine-share-8080=id.{number}"] * (number is not None)
            fields += [f"Cookie: {'; '.join(cookies)}"] * bool(cookies)
            explicit = {link, field} - {None}
            if "old" in explicit or (link and method in ("GET", "HEAD") and UPGRADE not in more):
                expected = ""
            else:
                expected = "b" if explicit or cookie == TOKEN else numbers[number]
            beside = BESIDE if number is None else SHARED
            found = slot(plane(beside), request(target, *fields, *more, method=method))
            assert found == expected, (link, field, cookie, number)

    asyncio.run(story())


def test_no_other_side_answers_a_preview() -> None:
    """Whoever looks at the candidate is to see that it fails."""

    async def story() -> None:
        both = "Cookie: slot-machine-share-8080=id.9000; slot-machine-preview-8080=" + TOKEN
        sides = plane(SHARED)
        wire = sides.ask(request("/assets/app-0f3a9c2b.js", FIELD))
        sides.asked[0].app.data_received(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        assert (answer(wire)[0], b"Set-Cookie" in wire.written, len(sides.asked)) == (404, False, 1)
        sides = plane(SHARED)
        wire = sides.ask(request("/", both))
        sides.asked[0].app.connection_lost(None)
        assert (answer(wire)[0], len(sides.asked)) == (502, 1)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("given", "ended"),
    [
        (OK, True),
        (OK.replace(b"\r\n\r\n", b"\r\nCache-Control: no-store\r\n\r\n"), True),
        (KEPT, False),
        (OK.replace(b"200 OK", b"304 Not Modified"), False),
    ],
)
@pytest.mark.parametrize("beside", [None, Beside(HELD, "another"), Beside(HELD)])
def test_a_cookie_of_an_ended_preview_is_ended_where_a_cookie_may_be_set(
    beside: Beside | None, given: bytes, ended: bool
) -> None:
    async def story() -> None:
        sides = plane(beside)
        wire = sides.ask(request("/", COOKIE))
        sides.asked[0].app.data_received(given)
        assert sides.asked[0].slot == "a"
        end = b"\r\nSet-Cookie: slot-machine-preview-8080=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax\r\n"
        assert (end in wire.written) == ended
        assert (b"Set-Cookie" in wire.written) == ended
        for cookie in ("Cookie: slot-machine-preview-9090=another app's", "Cookie: a=1"):
            wire = sides.ask(request("/2", cookie))
            sides.asked[-1].app.data_received(given)
            assert b"Set-Cookie" not in wire.written

    asyncio.run(story())


def test_the_internal_port_knows_no_preview() -> None:
    async def story() -> None:
        sides = plane()
        live = Upstream(1, "a", {name: Address("127.0.0.1", 1) for name in (PUBLIC, INTERNAL)})
        sides.router.forget(1)
        sides.router.route(live, beside=BESIDE)
        for asked in (
            request("/", COOKIE),
            request("/", FIELD),
            request(LINK),
            request("/", "Slot-Machine-Preview: x"),
        ):
            assert slot(sides, asked, INTERNAL) == "a"
            assert TOKEN.encode() not in sides.asked[-1].wire.written
            sides.router.hold()
            wire, before = sides.ask(asked, INTERNAL), len(sides.asked)
            sides.router.route(live)
            assert (wire.written, len(sides.asked)) == (b"", before + 1)

    asyncio.run(story())


def test_cookies_of_others_do_no_harm() -> None:
    async def story() -> None:
        mine = f"slot-machine-preview-8080={TOKEN}"
        for other in ("slot-machine-preview-9090=other", "slot-machine-preview-8080=set by another subdomain"):
            for many in (f"Cookie: {other}; {mine}", f"Cookie: {mine}; {other}"):
                assert slot(plane(), request("/", many)) == "b"

    asyncio.run(story())


@pytest.mark.parametrize(
    ("asked", "reply"),
    [
        (request("/", COOKIE), KEPT),
        (request("/", FIELD), KEPT),
        (request("/", COOKIE, "Content-Length: 0", method="POST"), KEPT),
        (request("/", COOKIE, UPGRADE), SWITCHED),
        (request("/", COOKIE), EVENTS),
    ],
)
def test_no_reply_of_a_preview_is_kept(asked: bytes, reply: bytes) -> None:
    async def story() -> None:
        sides = plane()
        wire = sides.ask(asked)
        sides.asked[0].app.data_received(reply)
        assert PRIVATE in wire.written
        assert b"max-age" not in wire.written
        assert TOKEN.encode() not in sides.asked[0].wire.written

    asyncio.run(story())


def test_on_its_own_port_the_candidate_alone_answers() -> None:
    async def story() -> None:
        sides = plane()
        wire = sides.ask(request("/"), PREVIEW)
        sides.asked[0].app.data_received(KEPT)
        assert (sides.asked[0].slot, PRIVATE in wire.written) == ("b", True)

        for beside in (None, Beside(HELD)):
            sides.router.route(LIVE, {PREVIEW: ()}, beside)
            status, fields, body = answer(sides.ask(request("/"), PREVIEW))
            assert (status, fields["Cache-Control"]) == (503, "no-store")
            assert b"no version is held" in body

    asyncio.run(story())


def test_a_request_that_waits_for_a_candidate_that_ends_does_not_get_the_live_version() -> None:
    async def story() -> None:
        sides = plane()
        sides.router.hold()
        by_field, by_cookie = sides.ask(request("/", FIELD)), sides.ask(request("/", COOKIE))
        sides.router.route(LIVE)
        assert answer(by_field)[0] == 404
        assert (by_cookie.written, [asked.slot for asked in sides.asked]) == (b"", ["a"])
        assert sum(totals.in_flight for totals in sides.router.measure().values()) == 1

    asyncio.run(story())


def test_a_request_whose_candidate_dies_does_not_get_the_live_version() -> None:
    async def story() -> None:
        sides = plane()
        wire = sides.ask(request("/", FIELD))
        sides.router.route(LIVE)
        sides.router.forget(HELD.run_id)
        assert (answer(wire)[0], len(sides.asked)) == (404, 1)

    asyncio.run(story())


def test_a_request_in_flight_ends_as_in_a_drain() -> None:
    async def story() -> None:
        sides = plane()
        wire = sides.ask(request("/", COOKIE))
        sides.router.route(LIVE)
        assert sides.router.measure()["b"].in_flight == 1
        sides.asked[0].app.data_received(OK)
        assert wire.written.endswith(b"ok")
        assert slot(sides, request("/", COOKIE)) == "a"

    asyncio.run(story())


def test_a_preview_passes_maintenance() -> None:
    async def story() -> None:
        sides = plane()
        sides.maintain(Maintenance("back soon"))
        assert slot(sides, request("/", COOKIE)) == "b"
        assert slot(sides, request("/"), PREVIEW) == "b"
        for asked in (request("/"), request("/", "Cookie: slot-machine-preview-8080=old")):
            assert b"back soon" in sides.ask(asked).written
        assert answer(sides.ask(request(LINK)))[0] == 303

    asyncio.run(story())
