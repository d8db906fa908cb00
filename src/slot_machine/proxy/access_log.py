"""The access log: one line a request, as JSON or in the combined format."""

import asyncio
import logging
import os
import re
import time
from functools import lru_cache
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
MOST_WAITING_BYTES = 33_554_432
"""Of lines that a slow disk has not taken yet. Further ones are lost, and their number is logged."""

UNQUOTABLE = re.compile(r'["\x00-\x1f\x7f]|\\(?!x[0-9a-f]{2})')
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

append = msgspec.json.Encoder().encode_into


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A request that is over, as its line has it. `status` is 0 if no reply began.

    `time` is its end in seconds since 1970. Of a request that could not be parsed, only status, bytes and client are
    known. `upstream_seconds` is the time from when the app got the request to the beginning of its reply, 0 if there
    was none.
    """

    time: float
    method: str
    target: str
    status: int
    bytes: int
    seconds: float = 0.0
    slot: str = ""
    request_id: str = ""
    client: str = ""
    user_agent: str = ""
    referer: str = ""
    upstream_seconds: float = 0.0


class AccessLog:
    """A thread writes the lines of each half second in one append, so several processes may write to one file.

    After a rename of the file, the next lines go to a new one.
    """

    def __init__(self, path: str, mode: int = 0o640, *, combined: bool = False) -> None:
        """`mode` is that of a new file."""
        self._path = Path(path)
        self._combined = combined
        self._mode = mode
        self._waiting = bytearray()
        self._lost = 0
        self._fd = -1

    def add(self, finished: Finished, version: str = "HTTP/1.1") -> None:
        if len(self._waiting) >= MOST_WAITING_BYTES:
            self._lost += 1
        elif self._combined:
            self._waiting += combined(finished, version)
        else:
            append(finished, self._waiting, -1)
            self._waiting += b"\n"

    async def keep(self) -> None:
        """Writes until it is cancelled, and then what is left."""
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
        """Lines to write, and how many were lost. For the event loop's thread alone, which may be adding one."""
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

    def _reopen_if_moved(self) -> None:
        if self._fd >= 0:
            try:
                if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                    return
            except FileNotFoundError:
                pass
            os.close(self._fd)
            self._fd = -1
        # O_NONBLOCK: to open a FIFO that nobody reads fails, and does not wait.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self._path, flags, self._mode)
        os.set_blocking(self._fd, True)


def shown(text: bytes) -> str:
    """In ASCII: a terminal that shows the log would obey C1 control characters, which JSON does not escape."""
    return text.decode("ascii", "backslashreplace")


def combined(finished: Finished, version: str) -> bytes:
    """The line of the combined format, as web servers write it and log analysers read it."""
    request = f"{finished.method} {finished.target} {version}" if finished.method else ""
    quoted = '" "'.join(map(_quoted, (finished.referer, finished.user_agent)))
    begin = f"{finished.client or '-'} - - [{_local(int(finished.time))}]"
    return f'{begin} "{_quoted(request)}" {finished.status} {finished.bytes} "{quoted}"\n'.encode()


def _quoted(text: str) -> str:
    """`-` for nothing. No character of it ends a field or a line."""
    return UNQUOTABLE.sub(lambda found: f"\\x{ord(found[0]):02X}", text) or "-"


@lru_cache(1)
def _local(second: int) -> str:
    """The time as in `27/Nov/2026:12:00:00 +0100`, with English names in every locale."""
    moment = time.localtime(second)
    return f"{moment.tm_mday:02}/{MONTHS[moment.tm_mon - 1]}/{time.strftime('%Y:%H:%M:%S %z', moment)}"
