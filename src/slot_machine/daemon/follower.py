"""The progress of a deploy that its client has not read yet. It is bounded, however slowly the client reads."""

import asyncio

import msgspec

from slot_machine.core.model import Printed, Progress
from slot_machine.host.process.lines import Lines

MOST_WAITING_BYTES = 1_000_000


class Follower:
    """One JSON object a line. Output for which there is no room is left out, and a line tells how much that was."""

    def __init__(self, app: str = "") -> None:
        self._app = app
        self._waiting = bytearray()
        self._lines = Lines()
        self._left_out = 0
        self._resolved = False
        self._closed = False
        self._changed = asyncio.Event()

    def report(self, news: Progress | Printed) -> None:
        if self._closed:
            return
        if isinstance(news, Printed):
            self._printed(news)
        else:
            self._tell_left_out(news.stage, news.seconds)
            for line in self._lines.rest():
                self._output(line, news.stage, news.seconds)
            self._add(news)

    async def resolved(self) -> bool:
        """Waits until the commit is resolved or the deploy has ended. Returns whether it was resolved."""
        while not self._resolved and not self._closed:
            await self._change()
        return self._resolved

    async def take(self) -> bytes:
        """Waits for lines. Returns nothing after the end."""
        while not self._waiting and not self._closed:
            await self._change()
        taken, self._waiting = bytes(self._waiting), bytearray()
        return taken

    def close(self) -> None:
        """The deploy has ended, or the client has left."""
        self._closed = True
        self._changed.set()

    def _printed(self, news: Printed) -> None:
        if len(self._waiting) >= MOST_WAITING_BYTES:
            self._lines = Lines()
            self._left_out = max(self._left_out + news.piece.count(b"\n"), 1)
            return
        self._tell_left_out(news.stage, news.seconds)
        for line in self._lines.feed(news.piece):
            self._output(line, news.stage, news.seconds)

    def _tell_left_out(self, stage: str, seconds: float) -> None:
        if self._left_out:
            self._output(f"... {self._left_out} lines left out: they came faster than they were read", stage, seconds)
            self._left_out = 0

    def _output(self, line: str, stage: str, seconds: float) -> None:
        self._add(Progress(event="output", stage=stage, message=line, seconds=seconds))

    def _add(self, progress: Progress) -> None:
        self._waiting += msgspec.json.encode(msgspec.structs.replace(progress, app=self._app)) + b"\n"
        self._resolved = self._resolved or progress.stage != "resolve"
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
