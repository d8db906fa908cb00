"""What one question for an app's health comes to."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from slot_machine.host.network import probe
from slot_machine.host.network.probe import Answer, Probe, ask_once

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def answer_to(reply: bytes, *, endless: bytes = b"", stays_open: bool = False, limit_s: float = 20) -> Answer:
    async def asked() -> Answer:
        ended = asyncio.Event()

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            with suppress(ConnectionError):
                while endless:
                    writer.write(endless)
                    await writer.drain()
                if stays_open:
                    await reader.read()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            ended.set()

        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            answer = await ask_once(host, Probe(port, "/healthz"), limit_s)
            await asyncio.wait_for(ended.wait(), 20)
            return answer

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "nothing (it closed the connection)"),
        (b"HTTP/1.1 20", "nothing (it closed the connection)"),
        (CONTINUE, "nothing (it closed the connection)"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "what is not HTTP ("),
        (b"HTTP/1.1 200 OK\r\nno field\r\n\r\n", "what is not HTTP (illegal header line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "what is not HTTP ("),
    ],
)
def test_what_came_instead_of_a_status_is_named(reply: bytes, words: str) -> None:
    answer = answer_to(reply)

    assert answer.status == 0
    assert answer.words.startswith(words)


def test_long_nonsense_is_quoted_in_part() -> None:
    assert len(answer_to(b"HTTP/1.1 200 OK\r\n" + b"\0" * 60_000 + b"\r\n\r\n").words) < 300


@pytest.mark.parametrize("reply", [b"220 smtp\r\n", b"J\0\0\0\n8.0", b"\x16\x03\x01"])
def test_greeting_of_another_protocol_is_told_at_once(reply: bytes) -> None:
    assert answer_to(reply, stays_open=True).words.startswith("what is not HTTP (")


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"HTTP/1.0 200\r\n\r\n", Answer(200, "200", healthy=True)),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n", Answer(503, "503")),
        (CONTINUE * 3 + b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, "204")),
        (
            b"HTTP/1.1 302 Found\r\nLocation: /login\r\nX: %b\r\n\r\n" % (b"x" * 30_000),
            Answer(302, "302 (to /login)"),
        ),
    ],
)
def test_head_is_all_that_matters(reply: bytes, answer: Answer) -> None:
    assert answer_to(reply, stays_open=True) == answer


@pytest.mark.parametrize("endless", [CONTINUE * 100, b"X: y\r\n" * 100, b"x" * 1000])
def test_endless_head_is_not_read_to_its_end(endless: bytes) -> None:
    assert answer_to(b"HTTP/1.1 200 OK\r\n" if CONTINUE not in endless else b"", endless=endless).words.startswith(
        "what is not HTTP ("
    )


def test_answer_that_stays_away_and_port_on_which_nobody_listens() -> None:
    assert answer_to(b"HTTP/1.1 200 OK\r\n", stays_open=True, limit_s=0.05).words == "nothing within 0.05 s"
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        host, port = bound.getsockname()
        answer = asyncio.run(ask_once(host, Probe(port, "/healthz"), 5))
    assert answer == Answer(0, "connection refused")


def test_daemon_that_lacks_something_does_not_blame_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def asked() -> None:
        monkeypatch.setattr("socket.socket", no_more)
        with pytest.raises(OSError, match="Too many open files"):
            await ask_once("127.0.0.1", Probe(1, "/"), 5)

    asyncio.run(asked())


Questions = list[dict[str, str]]


def asked_of(reply: Callable[[dict[str, str]], str], probe: Probe) -> tuple[Answer, Questions]:
    """`reply` makes the head of a reply from the fields of a question. Returns the fields of all questions, too."""
    questions: Questions = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        questions.append(dict(line.split(": ", 1) for line in lines))
        writer.write(f"HTTP/1.1 {reply(questions[-1])}\r\n\r\n".encode("latin-1"))
        writer.close()

    async def asked() -> Answer:
        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await ask_once("127.0.0.1", probe._replace(port=port), 5)

    return asyncio.run(asked()), questions


@pytest.mark.parametrize(
    ("statuses", "status", "healthy"),
    [
        (range(200, 201), 200, True),
        (range(200, 201), 204, False),
        (range(204, 205), 204, True),
        (range(200, 400), 399, True),
        (range(200, 400), 400, False),
        (range(200, 400), 199, False),
    ],
)
def test_statuses_of_a_healthy_answer(statuses: range, status: int, healthy: bool) -> None:
    answer, _ = asked_of(lambda _: f"{status} X" if status >= 200 else "404 X", Probe(0, "/", statuses))

    assert answer.healthy is healthy


def test_host_field_is_the_one_that_the_app_wants() -> None:
    answer, questions = asked_of(
        lambda fields: "200 OK" if fields["Host"] == "shop.example" else "400 Bad Request",
        Probe(0, "/", host_field="shop.example"),
    )

    assert answer.healthy
    assert len(questions) == 1
    assert "X-Forwarded-Proto" not in questions[0]


def test_app_that_forces_https_is_asked_as_if_over_https() -> None:
    def reply(fields: dict[str, str]) -> str:
        if fields.get("X-Forwarded-Proto") == "https":
            return "200 OK"
        return f"301 Moved\r\nLocation: https://{fields['Host']}/healthz"

    answer, questions = asked_of(reply, Probe(0, "/healthz"))

    assert answer == Answer(200, "200", healthy=True)
    assert [fields.get("X-Forwarded-Proto") for fields in questions] == [None, "https"]


def test_app_that_redirects_even_what_came_over_https_counts_if_that_leads_on() -> None:
    def reply(fields: dict[str, str]) -> str:
        path = "/login" if "X-Forwarded-Proto" in fields else "/"
        return f"302 Found\r\nLocation: https://{fields['Host']}{path}"

    answer, _ = asked_of(reply, Probe(0, "/", ANY))

    assert answer.healthy


ANY = range(200, 400)


@pytest.mark.parametrize(
    ("location", "elsewhere"),
    [
        ("/login", ""),
        ("login?next=//other.example", ""),
        ("http://{host}/login", ""),
        ("http://127.0.0.1/login", ""),
        ("//{host}/", ""),
        ("https://{host}/", "https"),
        ("http://www.example.com/", "www.example.com"),
        ("//www.example.com/", "www.example.com"),
        ("http://[/", "http://[/"),
    ],
)
def test_redirect_to_another_scheme_or_host_is_not_health(location: str, elsewhere: str) -> None:
    answer, _ = asked_of(
        lambda fields: f"302 Found\r\nLocation: {location.format(host=fields['Host'])}", Probe(0, "/", ANY)
    )

    assert (answer.healthy, answer.status) == (not elsewhere, 302)
    assert answer.elsewhere == elsewhere


def test_redirect_that_the_configuration_names_is_health_wherever_it_leads() -> None:
    answer, questions = asked_of(
        lambda _: "302 Found\r\nLocation: https://sso.example/", Probe(0, "/", range(302, 303))
    )

    assert answer.healthy
    assert len(questions) == 1


def test_location_in_a_message_is_one_short_line() -> None:
    answer, _ = asked_of(lambda _: f"302 Found\r\nLocation: /\t {'x' * 9000}", Probe(0, "/"))

    assert len(answer.words) < 250
    assert "\t" not in answer.words


async def left_of(body: bytes, *, ends: bool, most_body: int) -> tuple[Answer, bool]:
    """The answer, and whether the client has read all before it left."""
    read_all: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        if ends:
            writer.write_eof()
        try:
            read_all.set_result(await reader.read() == b"")
        except ConnectionError:
            read_all.set_result(False)
        writer.close()

    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        answer = await ask_once(host, Probe(port, "/", most_body=most_body), 20)
        return answer, await asyncio.wait_for(read_all, 20)


@pytest.mark.parametrize(
    ("size", "ends", "most_body", "read_all"),
    [
        (500_000, True, 1_000_000, True),
        (500_000, True, 0, False),
        (500_000, True, 70_000, False),
        (10, False, 1000, True),
    ],
)
def test_so_much_of_a_body_is_read_for_so_long(
    monkeypatch: pytest.MonkeyPatch, size: int, most_body: int, *, ends: bool, read_all: bool
) -> None:
    if not ends:
        monkeypatch.setattr(probe, "LONGEST_READ_S", 0.05)
    answer, has_read = asyncio.run(left_of(b"x" * size, ends=ends, most_body=most_body))

    assert (answer.status, has_read) == (200, read_all)
