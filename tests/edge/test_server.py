"""What the edge answers to those who connect to its socket: any user of the machine may."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from slot_machine.edge import server
from slot_machine.edge.edge import Edge
from slot_machine.edge.server import MOST, Server
from slot_machine.edge.wire import Reply
from slot_machine.host.network import peer

MALICE, ADA = 1000, 1001
STATUS = b'{"op": "status"}\n'
LIMIT_S = 5.0


class Silent:
    """An edge that has nothing to tell."""

    def status(self, uid: int) -> Reply:
        return Reply(traefik=str(uid))


@contextlib.asynccontextmanager
async def served(place: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The address is that of a client: its name says whose it is."""
    monkeypatch.setattr(peer, "uid_by_file", lambda connection: int(Path(connection.getpeername()).name.split(".")[0]))
    serving = await Server(cast(Edge, Silent())).start(server.listening(place))
    try:
        yield place
    finally:
        serving.close()


async def connect(place: Path, uid: int, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = socket.socket(socket.AF_UNIX)
    connection.bind(str(place / f"{uid}.{number}"))
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, str(place / "edge.sock"))
    return await asyncio.open_unix_connection(sock=connection)


async def status(place: Path, uid: int, number: int) -> bytes:
    """Empty if the edge closes the connection."""
    reader, writer = await connect(place, uid, number)
    try:
        writer.write(STATUS)
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("line", [b"{", b"\xff", b'{"op": 1}', b'{"op": "status", "x": ' + b"[" * 60_000])
def test_what_is_no_request_is_answered(line: bytes) -> None:
    reply = asyncio.run(Server(cast(Edge, None)).answer(1000, line))

    assert reply
    assert reply.error.startswith("not understood: ")


def test_idle_clients_of_a_user_delay_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with served(tmp_path, monkeypatch) as place:
            idle = [await connect(place, MALICE, number) for number in range(MOST)]
            async with asyncio.timeout(LIMIT_S):
                reader, writer = await connect(place, MALICE, MOST)
                assert await reader.read() == b"", "one too many"
                writer.close()
                assert b'"traefik":"1001"' in await status(place, ADA, 0)
                for _, each in idle:
                    each.close()
                for number in itertools.count(MOST + 1):
                    if b'"traefik":"1000"' in await status(place, MALICE, number):
                        break

    asyncio.run(story())


def test_a_client_that_is_silent_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIMIT_S", 0.05)

    async def story() -> None:
        async with served(tmp_path, monkeypatch) as place, asyncio.timeout(LIMIT_S):
            reader, writer = await connect(place, MALICE, 0)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(story())
