"""What one question for an app's health comes to."""

import asyncio

import pytest

from slot_machine.host.network import health
from slot_machine.host.network.listeners import Listeners


@pytest.mark.parametrize(
    ("reply", "words"),
    [(b"", "nothing (it closed the connection)"), (b"SSH-2.0-OpenSSH\r\n\r\n", "what is not HTTP (")],
)
def test_what_came_instead_of_a_status_is_named(reply: bytes, words: str) -> None:
    async def asked() -> health.Answer:
        async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(reply)
            writer.close()

        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            return await health.probe(host, port, "/healthz", 5)

    answer = asyncio.run(asked())

    assert answer.status == 0
    assert answer.words.startswith(words)


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
            assert await health.wait_healthy(Running(), Appearing(), port, "/", port, 5) == {port: "127.0.0.1"}
        return questions

    assert len(asyncio.run(asked())) == 2
