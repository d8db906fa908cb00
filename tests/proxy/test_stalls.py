"""The limit without progress counts from the last progress, whatever was going on before."""

import asyncio
from time import monotonic

import pytest

from slot_machine.proxy.server import SWEEP_INTERVAL_S
from slot_machine.proxy.waiting import LINGER_S
from tests.proxy.in_memory import SIZED, Ends, Wire, downloading, protocol, upgraded
from tests.proxy.talk import GET, HELLO, OK


class Stuck(Wire):
    """Its other side has yet to take what is `left`."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.aborted = self.closed = True


def pass_limit(ends: Ends) -> None:
    """With a sweep each time that one may have something to do."""
    began_s = monotonic()
    for passed_s in (0.0, LINGER_S, ends.limits.stall_s, LINGER_S + ends.limits.stall_s + SWEEP_INTERVAL_S):
        ends.server.sweep(began_s + passed_s + SWEEP_INTERVAL_S)


@pytest.mark.parametrize("from_app", [True, False])
def test_tunnel_that_went_on_after_one_side_had_ended(from_app: bool) -> None:
    async def main() -> None:
        ends = await upgraded()
        silent, other = (ends.client_wire, ends.app_wire) if from_app else (ends.app_wire, ends.client_wire)
        protocol(silent).eof_received()
        protocol(other).data_received(HELLO)
        ends.server.sweep(monotonic() + SWEEP_INTERVAL_S)
        protocol(other).data_received(HELLO)
        pass_limit(ends)
        assert ends.app_wire.closed

    asyncio.run(main())


def test_client_that_took_some_before_its_reply_was_complete() -> None:
    async def main() -> None:
        ends = await downloading(SIZED)
        wire = ends.client.transport = Stuck(1_000_000)
        ends.client.pause_writing()
        ends.server.sweep(monotonic())
        wire.left = 500_000
        ends.app.data_received(b"x" * 1_000_000)
        pass_limit(ends)
        assert wire.aborted

    asyncio.run(main())


def test_client_that_does_not_take_its_last_reply() -> None:
    async def main() -> None:
        ends = Ends()
        wire = ends.client.transport = Stuck(1)
        ends.client.data_received(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await asyncio.sleep(0)
        ends.app.data_received(OK)
        pass_limit(ends)
        assert wire.aborted

    asyncio.run(main())
