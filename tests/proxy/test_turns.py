"""What one connection may take of a turn of the event loop: it is not read on before others have had theirs."""

import asyncio

import pytest

from slot_machine.proxy.turns import MOST_BYTES_A_TURN
from tests.proxy.in_memory import SIZED, Ends, downloading, protocol, upgraded
from tests.proxy.talk import HELLO

CHUNKED = b"Transfer-Encoding: chunked"
MUCH = b"1\r\n1\r\n" * (MOST_BYTES_A_TURN // 6 + 1)


async def uploading(framing: bytes) -> Ends:
    ends = Ends()
    ends.client.data_received(b"POST / HTTP/1.1\r\nHost: h\r\n%b\r\n\r\n" % framing)
    await asyncio.sleep(0)
    assert not ends.client_wire.paused
    return ends


@pytest.mark.parametrize("framing", [CHUNKED, SIZED])
def test_client_that_sends_much_is_read_on_in_the_next_turn(framing: bytes) -> None:
    async def main() -> None:
        ends = await uploading(framing)
        ends.client.data_received(b"1\r\n1\r\n")
        assert not ends.client_wire.paused
        ends.client.data_received(MUCH)
        assert ends.client_wire.paused
        await asyncio.sleep(0)
        assert not ends.client_wire.paused

    asyncio.run(main())


@pytest.mark.parametrize("framing", [CHUNKED, SIZED, b"X: y"])
def test_app_that_sends_much_is_read_on_in_the_next_turn(framing: bytes) -> None:
    async def main() -> None:
        ends = await downloading(framing)
        ends.app.data_received(b"1\r\n1\r\n")
        assert not ends.app_wire.paused
        ends.app.data_received(MUCH)
        assert ends.app_wire.paused
        await asyncio.sleep(0)
        assert not ends.app_wire.paused

    asyncio.run(main())


@pytest.mark.parametrize("from_app", [True, False])
def test_end_of_a_tunnel_that_sends_much_is_read_on_in_the_next_turn(from_app: bool) -> None:
    async def main() -> None:
        ends = await upgraded()
        wire = ends.app_wire if from_app else ends.client_wire
        other = protocol(ends.client_wire if from_app else ends.app_wire)
        for waits in (False, True):
            protocol(wire).data_received(HELLO)
            assert not wire.paused
            protocol(wire).data_received(MUCH)
            assert wire.paused
            if waits:
                other.pause_writing()
            await asyncio.sleep(0)
            assert wire.paused == waits
        other.resume_writing()
        assert not wire.paused

    asyncio.run(main())


def test_the_next_turn_does_not_read_for_an_app_that_takes_no_more() -> None:
    async def main() -> None:
        ends = await uploading(CHUNKED)
        ends.client.data_received(MUCH)
        ends.app.pause_writing()
        await asyncio.sleep(0)
        assert ends.client_wire.paused
        ends.app.resume_writing()
        assert not ends.client_wire.paused

    asyncio.run(main())


def test_the_next_turn_does_not_read_for_a_client_that_takes_no_more() -> None:
    async def main() -> None:
        ends = await downloading(CHUNKED)
        ends.app.data_received(MUCH)
        ends.client.pause_writing()
        await asyncio.sleep(0)
        assert ends.app_wire.paused
        ends.client.resume_writing()
        assert not ends.app_wire.paused

    asyncio.run(main())


def test_the_next_turn_leaves_what_has_ended_alone() -> None:
    async def main() -> None:
        ends = await uploading(CHUNKED)
        ends.client.data_received(MUCH)
        ends.client_wire.abort()
        await asyncio.sleep(0)
        assert ends.client_wire.paused

    asyncio.run(main())
