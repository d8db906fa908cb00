"""The daemon's end of the keeper's control socket."""

import asyncio
import sys
from pathlib import Path
from typing import Self

import msgspec

from slot_machine.core.errors import KeeperGone, Unsteerable
from slot_machine.handover.wire import Attend, Drained, Listens, Op, Reply, Request
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

    A call raises Unsteerable if the keeper denies, and KeeperGone. A keeper that does not answer within HUNG_S counts
    as gone, and is disconnected; only `Listens` and `Drained` may take longer.
    """

    def __init__(self, caller: Caller[Op, Reply]) -> None:
        self._caller = caller

    @classmethod
    async def connect(cls, path: Path) -> Self:
        return cls(await Caller.connect(path, Request, decode, KeeperGone))

    async def disconnected(self) -> None:
        await self._caller.disconnected()

    async def disconnect(self) -> None:
        await self._caller.disconnect()

    async def call(self, op: Op) -> Reply:
        try:
            async with asyncio.timeout(None if isinstance(op, Listens | Drained) else HUNG_S):
                reply = await self._caller.call(op)
        except TimeoutError:
            await self.disconnect()
            raise KeeperGone("the keeper of the handover does not answer") from None
        if reply.error:
            raise Unsteerable(reply.error)
        return reply
