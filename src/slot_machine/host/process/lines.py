"""Splits the output of a command into lines of a limited length."""

from collections.abc import Iterator

LONGEST_LINE_BYTES = 16_384


class Lines:
    """Cuts longer lines off. It looks at each byte once, so that an endless line costs no more time than others."""

    def __init__(self) -> None:
        self._begun = bytearray()
        self._left_out = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yields the lines that end in this piece."""
        *ended, last = piece.split(b"\n")
        for part in ended:
            self._add(part)
            yield self._taken()
        self._add(last)

    def rest(self) -> Iterator[str]:
        """Yields the last line, if it does not end with a line feed."""
        if self._begun:
            yield self._taken()

    def _add(self, part: bytes) -> None:
        room = LONGEST_LINE_BYTES - len(self._begun)
        self._begun += part[:room]
        self._left_out += max(len(part) - room, 0)

    def _taken(self) -> str:
        line = self._begun.decode(errors="backslashreplace").rstrip("\r")
        if self._left_out:
            line = f"{line} ... ({self._left_out} bytes more)"
        self._begun, self._left_out = bytearray(), 0
        return line
