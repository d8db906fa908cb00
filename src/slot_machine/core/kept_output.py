"""What the commands of an attempt printed, as the history keeps it: of a long output its begin and its end."""

FIRST_BYTES = 100_000
LAST_BYTES = 400_000
"""Of each stage."""


class KeptOutput:
    def __init__(self) -> None:
        self._first: dict[str, bytearray] = {}
        self._last: dict[str, bytearray] = {}
        self._left_out: dict[str, int] = {}

    def add(self, stage: str, piece: bytes) -> None:
        first, last = self._first.setdefault(stage, bytearray()), self._last.setdefault(stage, bytearray())
        room = FIRST_BYTES - len(first)
        first += piece[:room]
        last += piece[room:]
        if len(last) > 2 * LAST_BYTES:
            self._left_out[stage] = self._left_out.get(stage, 0) + len(last) - LAST_BYTES
            del last[:-LAST_BYTES]

    def texts(self) -> dict[str, bytes]:
        """By stage, in their order."""
        return {stage: self._text(stage) for stage in self._first}

    def _text(self, stage: str) -> bytes:
        first, last, left_out = self._first[stage], self._last[stage], self._left_out.get(stage, 0)
        left_out += max(len(last) - LAST_BYTES, 0)
        between = f"\n... {left_out} bytes left out ...\n".encode() if left_out else b""
        return bytes(first) + between + bytes(last[-LAST_BYTES:])
