"""Maintenance, on wires in memory: what is answered with the page, and what reaches the app."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path

import pytest

from slot_machine.core.upstream import INTERNAL, PUBLIC, Address, Upstream
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.inbound import ClientConnection
from slot_machine.proxy.pool import Pool
from slot_machine.proxy.shared import Shared
from slot_machine.proxy.wire import Maintenance, Settings
from tests.proxy.in_memory import Wire

ADDRESS = Address("127.0.0.1", 1)
LIVE = Upstream(1, "a", {PUBLIC: ADDRESS, INTERNAL: ADDRESS}, "/healthz?full=1")
BACK = Maintenance("Back <soon>.")


class Plane(Shared):
    """`reached` are the targets of the requests that the app would get."""

    def __init__(self, maintenance: Maintenance | None = None) -> None:
        super().__init__(Settings(maintenance=maintenance))
        self.reached: list[bytes] = []
        self.router.route(LIVE)

    def connect(self, _: Pool[Connection], exchange: Exchange) -> None:
        self.reached.append(exchange.head.target)

    def ask(self, head: str, listener: str = PUBLIC) -> Wire:
        client, wire = ClientConnection(self, listener), Wire()
        client.connection_made(wire)
        client.data_received(head.encode())
        return wire


def get(path: str, method: str = "GET", fields: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"


def run(story: Coroutine[None, None, None]) -> None:
    asyncio.run(story)


def test_each_request_gets_the_message_but_those_for_health() -> None:
    async def story() -> None:
        plane = Plane(BACK)

        head, _, body = plane.ask(get("/")).written.partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 60" in head
        assert b"\r\nContent-Type: text/plain; charset=utf-8" in head
        assert (body, f"Content-Length: {len(body)}".encode() in head) == (b"Back <soon>.\n", True)
        for path in ("/healthz", "/healthz?x=2"):
            assert plane.ask(get(path)).written == b""
        for path in ("/healthz/", "/healthz/../admin", "/HEALTHZ", "/?/healthz"):
            assert b"503" in plane.ask(get(path)).written
        assert plane.ask(get("/internal"), INTERNAL).written == b""
        assert plane.reached == [b"/healthz", b"/healthz?x=2", b"/internal"]
        assert plane.ask(get("/", "HEAD")).written.endswith(b"\r\n\r\n")

    run(story())


def test_it_begins_and_ends_at_once() -> None:
    async def story() -> None:
        plane = Plane()
        assert plane.claim == plane.router.claim, "without maintenance, nothing stands before the router"
        plane.ask(get("/1"))
        plane.maintain(BACK)
        assert b"503" in plane.ask(get("/2")).written
        plane.maintain(None)
        plane.ask(get("/3"))

        assert plane.reached == [b"/1", b"/3"]
        assert plane.claim == plane.router.claim

    run(story())


def test_bodies_pipelines_and_holds() -> None:
    async def story() -> None:
        plane = Plane(BACK)
        upload = plane.ask(get("/", "POST", "Content-Length: 100000\r\n"))
        assert b"\r\nConnection: close\r\n" in upload.written

        two = plane.ask(get("/1") + get("/2"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert two.written.count(b"HTTP/1.1 503") == 2

        plane.router.hold()
        assert b"503" in plane.ask(get("/held")).written, "nobody waits for what stays away"
        assert plane.ask(get("/healthz")).written == b""
        plane.router.route(None)
        assert b"nothing is live" in plane.ask(get("/x"), INTERNAL).written

    run(story())


def test_page_is_sent_as_it_is_and_the_message_without_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = tmp_path / "page"
    page.write_bytes(b"<h1>\xff</h1>")

    async def story() -> None:
        plane = Plane(Maintenance("soon", str(page), "text/html; charset=utf-8"))
        page.write_bytes(b"changed")
        assert plane.ask(get("/")).written.endswith(b"\r\n\r\n<h1>\xff</h1>")
        plane.maintain(Maintenance("soon", str(tmp_path / "gone"), "text/html"))
        assert plane.ask(get("/")).written.endswith(b"\r\n\r\nsoon\n")

    run(story())
    assert "cannot read the page" in caplog.text
