"""The access log: one JSON object a line."""

import asyncio
import logging
import os
import time
from http import HTTPStatus
from pathlib import Path

import msgspec

from slot_machine.proxy.exchange import Exchange
from slot_machine.proxy.routing import NO_SLOT

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
MOST_WAITING_BYTES = 33_554_432
"""For a disk that is slow; what comes beyond is lost, and said to be."""

append = msgspec.json.Encoder().encode_into


class Line(msgspec.Struct, frozen=True, gc=False):
    """`time` is in seconds since 1970, when the request was over. `status` is 0 where no reply began."""

    time: float
    method: str
    target: str
    status: int
    bytes: int
    seconds: float
    slot: str
    request_id: str


class AccessLog:
    """Lines are kept until the next half second and written by a thread, each batch in one append.

    Several processes may write to one file. Whoever renames it finds the next lines in a new one.
    """

    def __init__(self, path: str, mode: int = 0o640) -> None:
        """`mode` is that of a new file."""
        self._path = Path(path)
        self._mode = mode
        self._waiting = bytearray()
        self._lost = 0
        self._fd = -1

    def add(self, exchange: Exchange, seconds: float) -> None:
        head, route = exchange.head, exchange.route
        slot = route.upstream.slot if route else NO_SLOT
        method, target, request_id = map(_shown, (head.method, head.target, exchange.request_id))
        self._append(Line(time.time(), method, target, exchange.status, exchange.sent, seconds, slot, request_id))

    def add_refusal(self, status: HTTPStatus, sent: int) -> None:
        """Of a request that could not be understood."""
        self._append(Line(time.time(), "", "", status, sent, 0.0, "", ""))

    async def keep(self) -> None:
        """Runs until cancelled, and then writes what is left."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(INTERVAL_S)
                writing = loop.run_in_executor(None, self._write, *self._take())
                try:
                    await asyncio.shield(writing)
                finally:
                    await writing
        finally:
            self.flush()

    def flush(self) -> None:
        self._write(*self._take())

    def _take(self) -> tuple[bytearray, int]:
        """What waits, and how many lines were lost. Not for another thread: it could come in the middle of a line."""
        lines, self._waiting = self._waiting, bytearray()
        lost, self._lost = self._lost, 0
        return lines, lost

    def _write(self, lines: bytearray, lost: int) -> None:
        if lost:
            log.error("the access log lost %d lines: its disk is too slow", lost)
        if not lines:
            return
        try:
            self._reopen_if_moved()
            data = memoryview(lines)
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            count = lines.count(b"\n")
            log.error("cannot write %d lines of the access log %s: %s", count, self._path, error.strerror)

    def _append(self, line: Line) -> None:
        if len(self._waiting) < MOST_WAITING_BYTES:
            append(line, self._waiting, -1)
            self._waiting += b"\n"
        else:
            self._lost += 1

    def _reopen_if_moved(self) -> None:
        if self._fd >= 0:
            try:
                if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                    return
            except FileNotFoundError:
                pass
            os.close(self._fd)
            self._fd = -1
        # A FIFO that nobody reads fails, in place of making this one wait.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self._path, flags, self._mode)
        os.set_blocking(self._fd, True)


def _shown(text: bytes) -> str:
    """In ASCII: a terminal on which the log is read would obey C1 controls, which JSON passes."""
    return text.decode("ascii", "backslashreplace")
