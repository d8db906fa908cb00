"""A stream on which nothing is printed for long."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest

from slot_machine.cli import link
from slot_machine.daemon import keepalive
from slot_machine.daemon.keepalive import kept_alive

FIRST, LAST = b'{"event": "started"}\n', b'{"success": true}\n'


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "ALIVE_S", 0.001)


def test_silence_is_filled_with_what_each_client_ignores() -> None:
    async def run() -> bytes:
        goes_on = asyncio.Event()

        async def silent() -> AsyncGenerator[bytes, None]:
            yield FIRST
            await goes_on.wait()
            yield LAST

        sent = b""
        async for piece in kept_alive(silent()):
            sent += piece
            if sent.endswith(b"   "):
                goes_on.set()
        return sent

    sent = asyncio.run(run())
    first, last = sent.splitlines(keepends=True)
    assert first == FIRST
    assert last.startswith(b"   ")
    assert last.lstrip() == LAST
    assert [json.loads(line) for line in sent.splitlines()] == [{"event": "started"}, {"success": True}]


def test_nothing_is_put_between_pieces_that_come_at_once() -> None:
    async def run() -> list[bytes]:
        async def quick() -> AsyncGenerator[bytes, None]:
            yield FIRST
            yield LAST

        return [piece async for piece in kept_alive(quick())]

    assert asyncio.run(run()) == [FIRST, LAST]


def test_client_that_leaves_ends_what_was_waited_for() -> None:
    ended: list[str] = []

    async def run() -> None:
        async def endless() -> AsyncGenerator[bytes, None]:
            try:
                yield FIRST
                await asyncio.Event().wait()
            finally:
                ended.append("ended")

        stream = kept_alive(endless())
        assert await anext(stream) == FIRST
        assert await anext(stream) == b" "
        await stream.aclose()

    asyncio.run(run())
    assert ended == ["ended"]


def test_error_of_the_stream_is_not_swallowed() -> None:
    async def run() -> None:
        async def broken() -> AsyncGenerator[bytes, None]:
            yield FIRST
            raise ConnectionResetError

        async for _ in kept_alive(broken()):
            pass

    with pytest.raises(ConnectionResetError):
        asyncio.run(run())


def test_client_whose_daemon_ends_in_a_silent_stage_is_told_so() -> None:
    with pytest.raises(ConnectionResetError):
        list(link._lines(iter([FIRST, b"   "]), "success"))
