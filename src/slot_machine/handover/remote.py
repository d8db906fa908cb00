"""The daemon's end of the keeper's socket."""

import asyncio
import sys
from pathlib import Path
from typing import Self

import msgspec

from slot_machine.core.errors import KeeperGone, Unsteerable
from slot_machine.handover.wire import Attend, Drained, Forget, Inspect, Listens, Op, Promote, Relay, Reply, Request
from slot_machine.host.network.control_socket import Caller

WRAPPER = Path(__file__).with_name("wrapper.py")
HUNG_S = 5.0
decode = msgspec.json.Decoder(Reply).decode


def wrapped(path: Path, argv: list[str], run_id: int, ports: set[int], become: str = "") -> list[str]:
    """The command that starts an app under the eyes of the keeper at `path`. For `become`, see the wrapper."""
    line = msgspec.json.encode(Request(0, Attend(run_id, tuple(sorted(ports))))).decode()
    return [sys.executable, "-I", "-S", str(WRAPPER), str(path), line, become, *argv]


class Remote:
    """Every call returns when it is in force in the keeper. All raise KeeperGone, and Unsteerable when it refuses.

    A keeper that does not answer counts as gone; so does its connection then.
    """

    def __init__(self, caller: Caller[Reply]) -> None:
        self._caller = caller

    @classmethod
    async def connect(cls, path: Path) -> Self:
        return cls(await Caller.connect(path, decode, KeeperGone))

    async def introduce(self) -> int:
        """The keeper's process id. Raises Unsteerable where this machine allows no handover."""
        return (await self._call(Inspect())).pid

    async def live(self) -> int:
        """The app that is live and was seen to listen; 0 if there is none."""
        return (await self._call(Inspect())).live

    async def inspect(self, run_id: int) -> None:
        """Raises Unsteerable if the app could not be bound beside the live one."""
        await self._call(Inspect(run_id))

    async def listens(self, run_id: int) -> None:
        await self._call(Listens(run_id), limit_s=None)

    async def promote(self, run_id: int | None) -> int:
        """Returns the app if it was seen to listen, else 0."""
        return (await self._call(Promote(run_id))).live

    async def drained(self, run_id: int) -> None:
        await self._call(Drained(run_id), limit_s=None)

    async def relay(self, run_id: int) -> None:
        await self._call(Relay(run_id))

    async def forget(self, run_id: int) -> None:
        await self._call(Forget(run_id))

    async def disconnected(self) -> None:
        await self._caller.disconnected()

    async def disconnect(self) -> None:
        await self._caller.disconnect()

    async def _call(self, op: Op, limit_s: float | None = HUNG_S) -> Reply:
        try:
            async with asyncio.timeout(limit_s):
                reply = await self._caller.call(lambda number: Request(number, op))
        except TimeoutError:
            await self.disconnect()
            raise KeeperGone("the keeper of the handover does not answer") from None
        if reply.error:
            raise Unsteerable(reply.error)
        return reply
