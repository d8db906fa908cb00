"""The daemon's end of the control socket of one data-plane process."""

import asyncio
import os
from pathlib import Path
from typing import Self

import msgspec

from slot_machine.core.errors import DataPlaneGone
from slot_machine.core.upstream import Counts, Upstream
from slot_machine.proxy.wire import Close, Drained, Forget, Hold, Measure, Op, Reply, Request, Route, Unwind

decode = msgspec.json.Decoder(Reply).decode


class Remote:
    """Every call returns when it is in force in the data plane. All raise DataPlaneGone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last_id = 0
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def connect(cls, path: Path) -> Self:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{path.name}")
        except OSError as error:
            raise DataPlaneGone(f"cannot connect to the data plane at {path}: {error.strerror}") from error
        finally:
            os.close(folder)
        return cls(reader, writer)

    async def route(self, upstream: Upstream | None) -> Counts:
        return (await self._call(Route(upstream))).counts or Counts()

    async def hold(self) -> None:
        await self._call(Hold())

    async def drained(self, upstream_id: int) -> None:
        await self._call(Drained(upstream_id))

    async def unwind(self, upstream_id: int, over_s: float) -> None:
        await self._call(Unwind(upstream_id, over_s))

    async def forget(self, upstream_id: int) -> Counts:
        return (await self._call(Forget(upstream_id))).counts or Counts()

    async def measure(self) -> Reply:
        return await self._call(Measure())

    async def close_listeners(self) -> None:
        await self._call(Close())

    async def disconnect(self) -> None:
        self._listening.cancel()
        await asyncio.wait([self._listening])
        self._writer.close()

    async def _call(self, op: Op) -> Reply:
        if self._listening.done():
            raise DataPlaneGone("the data plane is gone")
        self._last_id += 1
        request = Request(self._last_id, op)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = reply
        try:
            self._writer.write(msgspec.json.encode(request) + b"\n")
            return await reply
        finally:
            self._waiting.pop(request.id, None)

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                reply = decode(line)
                waiting = self._waiting.pop(reply.id, None)
                if waiting and not waiting.done():
                    waiting.set_result(reply)
        except ConnectionError:
            pass
        finally:
            for unanswered in self._waiting.values():
                if not unanswered.done():
                    unanswered.set_exception(DataPlaneGone("the data plane is gone"))
