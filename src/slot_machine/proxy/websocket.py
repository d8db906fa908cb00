"""As much of WebSocket (RFC 6455) as it takes to end one cleanly: where a frame ends, and what a Close frame is."""

import re

GOING_AWAY = b"\x88\x02\x03\xe9"
"""An unmasked Close frame with status 1001: the server goes away (section 7.4.1)."""

CLOSE = 0x8
LENGTHS = {126: 2, 127: 8}
"""Section 5.2: these codes stand for a length in that many more bytes."""

MOST_AT_ONCE = 1024
"""Frames in one match: each makes the stack of the regular expression grow."""


def _short_frames() -> re.Pattern[bytes]:
    """Whole frames of up to 125 bytes, none a Close frame. One by one they would cost Python too much."""
    first = b"".join(rb"\x%02x" % byte for byte in range(256) if byte & 0x0F != CLOSE)
    rest = b"|".join(rb"\x%02x.{%d}" % (size, size) for size in range(126))
    return re.compile(b"(?s:[%b](?:%b)){1,%d}" % (first, rest, MOST_AT_ONCE))


SHORT_FRAMES = _short_frames()


class Frames:
    """Follows the frames of a server. `closed`: it has sent a Close frame."""

    __slots__ = ("_head", "_left", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._head = b""
        self._left = 0

    @property
    def between_frames(self) -> bool:
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        at, end = self._left, len(data)
        while at < end:
            if short := SHORT_FRAMES.match(data, at):
                at = short.end()
                continue
            size = _size(data, at)
            if not size:
                self._head = data[at:]
                break
            self.closed = self.closed or data[at] & 0x0F == CLOSE
            at += size
        self._left = max(0, at - end)


def _size(data: bytes, at: int) -> int:
    """The size of the frame that begins there; 0 if its length has not come yet."""
    begin = at + 2
    if len(data) < begin:
        return 0
    code = data[at + 1] & 0x7F
    stop = begin + LENGTHS.get(code, 0)
    if len(data) < stop:
        return 0
    return stop - at + (int.from_bytes(data[begin:stop]) if stop > begin else code)
