"""Adds a line to .gitignore."""

import os
from contextlib import suppress
from pathlib import Path

from slot_machine.host.files.regular import open_own, open_regular


def ignores(folder: Path, entry: str) -> bool:
    """Whether .gitignore has `entry`, with or without slashes. Raises OSError."""
    return any(line.strip().strip(b"/") == entry.encode() for line in _text(folder).splitlines())


def ignore_once(folder: Path, entry: str) -> bool:
    """Whether the line had to be added. Raises OSError."""
    if ignores(folder, entry):
        return False
    text = _text(folder)
    separator = b"" if not text or text.endswith(b"\n") else b"\n"
    with os.fdopen(open_own(folder / ".gitignore", os.O_APPEND), "ab") as file:
        file.write(separator + entry.encode() + b"\n")
    return True


def _text(folder: Path) -> bytes:
    with suppress(FileNotFoundError), os.fdopen(open_regular(folder / ".gitignore"), "rb") as file:
        return file.read()
    return b""
