"""What one question for an app's health comes to."""

import asyncio
import errno
import os
import socket
from contextlib import suppress

import pytest

from slot_machine.host.network import health
from slot_machine.host.network.health import Answer, Probe
from slot_machine.host.network.listeners import Listeners

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SAVE_SYN, SAVED_SYN = 27, 28
"""tcp(7)."""


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
            answer = await health.ask_once(host, port, "/healthz", limit_s)
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
    ("reply", "status"),
    [
        (b"HTTP/1.0 200\r\n\r\n", 200),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 9\r\n\r\n", 503),
        (CONTINUE * 3 + b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nX: %b\r\n\r\n" % (b"x" * 30_000), 302),
    ],
)
def test_status_is_all_that_matters(reply: bytes, status: int) -> None:
    assert answer_to(reply, stays_open=True) == Answer(status, str(status))


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
        answer = asyncio.run(health.ask_once(host, port, "/healthz", 5))
    assert answer == Answer(0, "connection refused")


def test_daemon_that_lacks_something_does_not_blame_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def asked() -> None:
        monkeypatch.setattr("socket.socket", no_more)
        with pytest.raises(OSError, match="Too many open files"):
            await health.ask_once("127.0.0.1", 1, "/", 5)

    asyncio.run(asked())


def test_question_carries_its_type_of_service_and_asks_for_no_second_one() -> None:
    async def asked() -> tuple[bytes, int]:
        questions: asyncio.Queue[tuple[bytes, int]] = asyncio.Queue()

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            question = await reader.readuntil(b"\r\n\r\n")
            await questions.put((question, accepted.getsockopt(socket.IPPROTO_TCP, SAVED_SYN, 100)[1]))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()

        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.IPPROTO_TCP, SAVE_SYN, 1)
        async with await asyncio.start_server(served, sock=listener):
            port = listener.getsockname()[1]
            probe = Probe(port, "/healthz?a=1#b", tos=0x54)
            await health.wait_healthy(Running(), Appearing(), probe, port, 5)
            return await questions.get()

    question, tos = asyncio.run(asked())

    assert tos == 0x54
    assert question.startswith(b"GET /healthz?a=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nConnection: close\r\n" in question


class Appearing(Listeners):
    """A socket that appears between the first look and the first answer."""

    def __init__(self) -> None:
        self.looks = 0

    def seen(self, *_: object) -> set[int]:
        self.looks += 1
        return {1} if self.looks > 1 else set()

    def answered(self, *_: object) -> set[int]:
        return {1}


class Running:
    async def exited(self) -> int:
        await asyncio.Event().wait()
        return 0


def test_answer_counts_only_if_its_socket_was_there_before_the_question() -> None:
    """Another one may have answered, and made way for it."""

    async def asked() -> list[bytes]:
        questions = []

        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            questions.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert await health.wait_healthy(Running(), Appearing(), Probe(port, "/"), port, 5) == {port: "127.0.0.1"}
        return questions

    assert len(asyncio.run(asked())) == 2
