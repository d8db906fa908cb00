"""Filters all output: text from an app, a commit or git may contain control characters that a terminal obeys."""

import io
import os
import re
import sys

TYPE_CHECKING = False  # typing's own takes 3 ms to import.
if TYPE_CHECKING:
    from typing import TextIO

CONTROL = (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))
"""C0 but tab and line feed, DEL, C1."""
DIRECTION = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Unicode characters that change the direction of text or end its line."""
NO_TEXT = range(0xDC80, 0xDD00)
"""Bytes that could not be decoded (PEP 383)."""
COLOUR = r"(\x1b\[[0-9;]{0,32}m)"
"""ECMA-48, SGR."""
RESET = "\x1b[0m"


def shown(text: str) -> str:
    """Makes all control characters but tab and line feed visible: `^[` for an escape."""
    return text.replace("\r\n", "\n").translate(NAMES)


def coloured(text: str) -> str:
    """Like `shown`, but colours pass, and end with their line."""
    return "\n".join(_line(line) for line in text.replace("\r\n", "\n").split("\n"))


def continued(text: str) -> str:
    """Indents all lines but the first, so that none of them looks like a line of slot-machine's own."""
    first, *others = text.split("\n")
    return "\n".join([first, *(f"  {line}" if line[:1].strip() else line for line in others)])


def result(text: str) -> None:
    """Prints to stdout. Raises OSError."""
    print(continued(text), flush=True)


def note(text: str) -> None:
    """Prints to stderr. Raises OSError."""
    print(continued(text), file=sys.stderr, flush=True)


def takes_sequences(stream: "TextIO") -> bool:
    """Whether colours and movements of the cursor may be sent to it: to a terminal, unless NO_COLOR is set
    (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def guard() -> None:
    """From now on, control characters in stdout and stderr are shown and never sent."""
    sys.stdout, sys.stderr = HarmlessText(sys.stdout), HarmlessText(sys.stderr)


def log_to_stderr(app: str = "") -> None:
    """Each line names the app. May be called again, when its name is known."""
    import logging

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return continued(super().format(record))

    handler = logging.StreamHandler()
    name = app.replace("%", "%%") + " " * bool(app)
    handler.setFormatter(Formatter(f"%(asctime)s {name}%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class HarmlessText(io.TextIOWrapper):
    def __init__(self, stream: "TextIO") -> None:
        super().__init__(stream.buffer, stream.encoding, "backslashreplace", line_buffering=True)
        self._below = stream  # If it were deleted, it would close the buffer that both use.
        self._show = coloured if takes_sequences(stream) else shown

    def write(self, text: str) -> int:
        super().write(self._show(text))
        return len(text)


def _line(line: str) -> str:
    parts = re.split(COLOUR, line) if "\x1b[" in line else [line]
    parts[::2] = map(shown, parts[::2])
    return "".join(parts) + (RESET if len(parts) > 1 else "")


def _name(code: int) -> str:
    if code < 0x20 or code == 0x7F:
        return f"^{chr(code ^ 0x40)}"
    code &= 0xFF if code in NO_TEXT else 0xFFFF
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


NAMES = {code: _name(code) for code in (*CONTROL, *DIRECTION, *NO_TEXT)}
