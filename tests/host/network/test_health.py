"""When an app that was started counts as healthy."""

import asyncio
import socket

import pytest

from slot_machine.host.network import health
from slot_machine.host.network.listeners import Listeners
from slot_machine.host.network.probe import Probe

SAVE_SYN, SAVED_SYN = 27, 28
"""tcp(7)."""


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


def test_app_that_accepts_and_stays_silent_is_not_taken_for_one_that_does_not_listen() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def asked() -> health.Unhealthy:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(health.Unhealthy, match="/up on port") as unhealthy:
                await health.wait_healthy(Running(), Known(), Probe(port, "/up"), port, 0.05)
            return unhealthy.value

    error = asyncio.run(asked())

    assert "answered nothing within 0.0" in str(error)
    assert error.answer is not None
    assert error.missing == ()


class Known(Listeners):
    def __init__(self) -> None:
        pass

    def seen(self, *_: object) -> set[int]:
        return set()

    def answered(self, *_: object) -> set[int]:
        return set()
