"""What one question for an app's health comes to."""

import asyncio

import pytest

from slot_machine.host import health


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
