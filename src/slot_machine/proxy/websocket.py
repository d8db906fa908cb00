"""Just as much of WebSocket (RFC 6455) as it takes to end one: where a frame ends, and what says good-bye."""

GOING_AWAY = b"\x88\x02\x03\xe9"
"""A Close frame with status 1001: the server goes down (section 7.4.1). A server's frames have no mask."""

CLOSE = 0x8
LENGTHS = {126: 2, 127: 8}
"""Section 5.2: these stand for a length in that many bytes more."""


class Frames:
    """Follows the frames that a server sends."""

    __slots__ = ("_head", "_left", "closed")

    def __init__(self) -> None:
        self.closed = False
        """The server has said good-bye itself."""
        self._head = b""
        self._left = 0

    @property
    def between_frames(self) -> bool:
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            self._head += data[at : at + 1]
            at += 1
            if len(self._head) >= 2:
                self._look_at_head()

    def _look_at_head(self) -> None:
        code = self._head[1] & 0x7F
        more = LENGTHS.get(code, 0)
        if len(self._head) < 2 + more:
            return
        self._left = int.from_bytes(self._head[2:]) if more else code
        self.closed = self.closed or self._head[0] & 0x0F == CLOSE
        self._head = b""
