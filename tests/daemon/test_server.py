"""The API's server on loopback, with answers of the test's own: framing, limits, and how it stops."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from slot_machine.daemon import connection, server
from slot_machine.daemon.connection import HttpError, Request, Response
from slot_machine.daemon.server import Server

TEXT = "text/plain"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
Story = Callable[[int, Server], Awaitable[None]]
Handler = Callable[[Request], Awaitable[Response]]


async def echo(request: Request) -> Response:
    body = await request.body() if request.method == "POST" else request.target.encode()
    return Response(200, body, TEXT)


async def unread(_: Request) -> Response:
    return Response(200, b"unread", TEXT)


class Site:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def answer(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except HttpError as error:
            return self.refuse(error)

    def refuse(self, error: HttpError) -> Response:
        return Response(error.status, json.dumps({"error": error.status.phrase}).encode(), "application/json")


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)

    async def rest(self) -> bytes:
        """What comes until the server ends the connection."""
        return await asyncio.wait_for(self.reader.read(), 20)

    async def ask(self, request: bytes = GET) -> bytes:
        """The body of a reply with Content-Length."""
        self.writer.write(request)
        length = int((await self.head()).lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return await asyncio.wait_for(self.reader.readexactly(length), 20)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def served(handler: Handler, story: Story) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            made = Server(listener, Site(handler))
            made.start()
            try:
                await story(listener.getsockname()[1], made)
            finally:
                await made.stop()

    asyncio.run(asyncio.wait_for(run(), 60))


def replies_to(request: bytes, handler: Handler = echo) -> bytes:
    """All until the server ends the connection."""
    answers: list[bytes] = []

    async def story(port: int, _: Server) -> None:
        async with connected(port) as client:
            client.writer.write(request)
            answers.append(await client.rest())

    served(handler, story)
    return answers[0]


def test_connection_is_kept_alive_and_requests_may_come_together() -> None:
    async def story(port: int, _: Server) -> None:
        async with connected(port) as client:
            assert await client.ask() == b"/"
            assert await client.ask(POST % 3 + b"one" + POST % 3 + b"two") == b"one"
            assert await client.ask(b"") == b"two"
            assert await client.ask(CHUNKED + b"2\r\non\r\n1\r\ne\r\n0\r\n\r\n") == b"one"

    served(echo, story)


def test_head_has_no_body_and_keeps_the_connection() -> None:
    async def story(port: int, _: Server) -> None:
        async with connected(port) as client:
            client.writer.write(GET.replace(b"GET", b"HEAD"))
            assert b"\r\ncontent-length: 1\r\n" in (await client.head()).lower()
            assert await client.ask() == b"/"

    served(echo, story)


def test_body_that_was_asked_for_with_100_continue() -> None:
    async def story(port: int, _: Server) -> None:
        async with connected(port) as client:
            client.writer.write(POST.replace(b"Host", b"Expect: 100-continue\r\nHost") % 3)
            assert (await client.head()).startswith(b"HTTP/1.1 100 ")
            assert await client.ask(b"one") == b"one"

    served(echo, story)


def test_body_that_nobody_read_is_skipped_if_it_is_there() -> None:
    async def story(port: int, _: Server) -> None:
        async with connected(port) as client:
            assert await client.ask(POST % 3 + b"one") == b"unread"
            assert await client.ask(GET) == b"unread"

    served(unread, story)
    assert b"connection: close" in replies_to(POST % 1_000_000 + b"x", unread).lower()


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")]
)
def test_connection_ends_if_the_client_wants_it(request_: bytes) -> None:
    assert replies_to(request_).endswith(b"\r\n\r\n/")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (POST.replace(b"%d", b"-1"), 400),
        (POST.replace(b"%d", b"9" * 5000), 400),
        (CHUNKED + b"1\r\nxyz0\r\n\r\n", 400),
        (CHUNKED.replace(b"chunked", b"gzip"), 501),
        (CHUNKED + b"no size\r\n", 400),
        (CHUNKED + b"100000\r\n" + b"x" * 100_000, 413),
        (POST % 1_000_000_000 + b"x" * 1_000_000, 413),
    ],
)
def test_what_is_not_http_or_too_large_is_refused_in_the_apis_shape(request_: bytes, status: int) -> None:
    head, _, body = replies_to(request_).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head.lower()
    assert "error" in json.loads(body)


def test_client_hears_a_refusal_that_comes_while_it_sends() -> None:
    async def story(port: int, _server: Server) -> None:
        async with connected(port) as client:
            client.writer.write(POST % 10_000_000)
            for _ in range(50):
                client.writer.write(b"x" * 100_000)
                await client.writer.drain()
            assert (await client.head()).startswith(b"HTTP/1.1 413 ")

    served(echo, story)


def test_client_that_would_rather_speak_another_protocol_is_answered() -> None:
    reply = replies_to(GET.replace(b"Host", b"Connection: upgrade\r\nUpgrade: h2c\r\nHost"))

    assert reply.startswith(b"HTTP/1.1 200 ")
    assert reply.endswith(b"\r\n\r\n/")


def test_client_may_close_its_side_once_it_has_asked() -> None:
    async def story(port: int, _: Server) -> None:
        async with connected(port) as client:
            client.writer.write(GET)
            client.writer.write_eof()
            assert (await client.rest()).endswith(b"\r\n\r\n/")

    served(echo, story)


def test_body_that_stays_away_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_WITHIN_S", 0.05)

    assert replies_to(POST % 9 + b"{").startswith(b"HTTP/1.1 408 ")


def test_client_that_asks_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_WITHIN_S", 0.05)

    assert replies_to(GET[:-2]) == b""


def test_stream_comes_as_it_is_made_and_ends_if_the_client_leaves() -> None:
    more, ended = asyncio.Event(), asyncio.Event()

    async def lines() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one\n"
            await more.wait()
            while True:
                yield b"more\n"
                await asyncio.sleep(0)
        finally:
            ended.set()

    async def stream(_: Request) -> Response:
        return Response(200, lines(), TEXT)

    async def story(port: int, _: Server) -> None:
        async with connected(port) as client:
            client.writer.write(GET)
            assert b"transfer-encoding: chunked" in (await client.head()).lower()
            assert await client.reader.readuntil(b"one\n") == b"4\r\none\n"
            assert not ended.is_set()
        more.set()
        await asyncio.wait_for(ended.wait(), 20)

    served(stream, story)


@pytest.mark.parametrize("made_in_pieces", [True, False])
def test_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch, made_in_pieces: bool) -> None:
    monkeypatch.setattr(connection, "READ_WITHIN_S", 0.05)
    ended = asyncio.Event()

    async def lines() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"line\n" * 10_000
        finally:
            ended.set()

    async def flood(_: Request) -> Response:
        return Response(200, lines() if made_in_pieces else b"x" * 20_000_000, TEXT)

    async def story(port: int, server: Server) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(GET)
            await until(lambda: any(one.answering for one in server._open))
            await until(lambda: not server._open)
        assert ended.is_set() is made_in_pieces

    served(flood, story)


def test_oldest_connection_that_asks_nothing_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        if request.target == "/slow":
            asked.set()
            await go.wait()
        return Response(200, b"done", TEXT)

    async def story(port: int, _: Server) -> None:
        async with connected(port) as busy, connected(port) as idle:
            busy.writer.write(GET.replace(b"/ ", b"/slow "))
            await asked.wait()
            async with connected(port) as other, connected(port) as newest:
                assert await newest.ask() == b"done"
                assert await other.ask() == b"done"
                assert await idle.rest() == b""
                go.set()
                assert await busy.ask(b"") == b"done"

    served(slow, story)


def test_stop_answers_those_that_came_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is still in the listening socket's queue, if the event loop has seen it, and one yet to ask."""
    monkeypatch.setattr(server, "FIRST_REQUEST_S", 10.0)
    go = asyncio.Event()

    async def slow(request: Request) -> Response:
        if request.target == "/slow":
            await go.wait()
        return Response(200, b"done", TEXT)

    async def story(port: int, server: Server) -> None:
        async with connected(port) as busy, connected(port) as silent, connected(port) as idle:
            assert await idle.ask() == b"done"
            busy.writer.write(GET.replace(b"/ ", b"/slow "))
            await until(lambda: len(server._open) == 3 and any(one.answering for one in server._open))
            stopping = asyncio.create_task(server.stop())
            assert await idle.rest() == b""
            silent.writer.write(GET)
            assert (await silent.rest()).endswith(b"done")
            assert not stopping.done()
            go.set()
            assert b"connection: close" in (answer := await busy.rest()).lower()
            assert answer.endswith(b"done")
            await asyncio.wait_for(stopping, 20)
            async with connected(port) as later:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(later.ask(), 0.05)

    served(slow, story)


def test_stop_waits_for_nobody_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST_S", 0.05)
    monkeypatch.setattr(server, "ANSWER_S", 0.05)

    async def never(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def story(port: int, server: Server) -> None:
        async with connected(port) as silent, connected(port) as busy:
            busy.writer.write(GET)
            await until(lambda: len(server._open) == 2 and any(one.answering for one in server._open))
            await server.stop()
            assert (await silent.rest(), await busy.rest()) == (b"", b"")

    served(never, story)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


def test_two_lengths_are_refused_and_nothing_after_them_is_a_request() -> None:
    both = CHUNKED.replace(b"Host", b"Content-Length: 3\r\nHost") + b"0\r\n\r\n"

    reply = replies_to(both + GET)

    assert reply.startswith(b"HTTP/1.1 400 ")
    assert reply.count(b"HTTP/1.1") == 1


def test_long_head_is_refused_although_it_is_all_there() -> None:
    assert replies_to(GET.replace(b"Host", b"a: b\r\n" * 10_000 + b"Host")).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("clients", [1, 30])
def test_requests_that_come_together_leave_the_loop_to_others(clients: int) -> None:
    """Between two of them the event loop goes round, however many connections ask."""
    rounds: list[int] = []
    seen: list[int] = []

    async def count(_: Request) -> Response:
        seen.append(len(rounds))
        return Response(200, b"", TEXT)

    def go_round() -> None:
        rounds.append(0)
        asyncio.get_running_loop().call_soon(go_round)

    async def story(port: int, _: Server) -> None:
        go_round()
        async with AsyncExitStack() as stack:
            for _client in range(clients):
                client = await stack.enter_async_context(connected(port))
                client.writer.write(GET * (90 // clients))
            await until(lambda: len(seen) == 90)

    served(count, story)
    assert len(set(seen)) == 90


def test_client_that_does_not_read_its_answer_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 1)

    async def large(request: Request) -> Response:
        return Response(200, b"x" * (20_000_000 if request.target == "/large" else 1), TEXT)

    async def story(port: int, server: Server) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(GET.replace(b"/ ", b"/large "))
            await until(lambda: any(one.answering for one in server._open))
            async with connected(port) as newest:
                assert await newest.ask() == b"x"

    served(large, story)


def test_stop_answers_what_a_client_asked_on_a_connection_that_was_kept() -> None:
    """Whether the request is read, or still in the socket's queue."""

    async def story(port: int, server: Server) -> None:
        async with connected(port) as early, connected(port) as late:
            for client in (early, late):
                assert await client.ask() == b"/"
            early.writer.write(GET)
            await asyncio.sleep(0)
            late.writer.write(GET)
            await server.stop()
            for client in (early, late):
                assert (await client.rest()).endswith(b"\r\n\r\n/")

    served(echo, story)


def test_client_that_leaves_before_it_has_read_its_answer_is_gone() -> None:
    async def large(_: Request) -> Response:
        return Response(200, b"x" * 20_000_000, TEXT)

    async def story(port: int, server: Server) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(GET)
            await until(lambda: any(one.answering for one in server._open))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: not server._open)
        await asyncio.sleep(0.05)
        assert not server._serving

    served(large, story)


def test_connection_that_made_room_does_not_wait_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)

    async def story(port: int, server: Server) -> None:
        async with server._turn, AsyncExitStack() as stack:
            for _ in range(20):
                client = await stack.enter_async_context(connected(port))
                client.writer.write(GET)
                await until(lambda: any(one._http.trailing_data[0] for one in list(server._open)[-1:]))
            await until(lambda: len(server._serving) == 3)

    served(echo, story)
