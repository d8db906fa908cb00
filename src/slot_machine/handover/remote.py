"""The daemon's end of the keeper's control socket."""

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
    """The command that starts the app and introduces it to the keeper at `path`. `become`: see `wrapper`."""
    line = msgspec.json.encode(Request(0, Attend(run_id, tuple(sorted(ports))))).decode()
    return [sys.executable, "-I", "-S", str(WRAPPER), str(path), line, become, *argv]


class Remote:
    """Requests to the keeper. Each is in force when its call returns.

    All raise Unsteerable if the keeper denies, and KeeperGone. A keeper that does not answer within HUNG_S counts as
    gone, and is disconnected.
    """

    def __init__(self, caller: Caller[Op, Reply]) -> None:
        self._caller = caller

    @classmethod
    async def connect(cls, path: Path) -> Self:
        return cls(await Caller.connect(path, Request, decode, KeeperGone))

    async def introduce(self) -> int:
        """The keeper's pid. Raises Unsteerable if this machine allows no handover."""
        return (await self._call(Inspect())).pid

    async def live(self) -> int:
        """The run that is live and listens. 0 if there is none."""
        return (await self._call(Inspect())).live

    async def inspect(self, run_id: int) -> None:
        """Raises Unsteerable if the run could not listen beside the live one."""
        await self._call(Inspect(run_id))

    async def listens(self, run_id: int) -> None:
        await self._call(Listens(run_id), limit_s=None)

    async def promote(self, run_id: int | None) -> int:
        """Returns the run if it listens, else 0."""
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
                reply = await self._caller.call(op)
        except TimeoutError:
            await self.disconnect()
            raise KeeperGone("the keeper of the handover does not answer") from None
        if reply.error:
            raise Unsteerable(reply.error)
        return reply
