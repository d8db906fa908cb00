"""Writes an export into a folder: makes it anew, and never touches what somebody else has written there."""

import os
from collections.abc import Mapping
from pathlib import Path

from slot_machine.core.errors import ConfigError

LISTING = ".slot-machine-export"
"""Names the files of an export, a line each, so that the next one knows which are its own."""


def write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Makes the files of an earlier export those of this one; returns the names of those that are gone.

    A file that is as it should be is not written again. Raises ConfigError if the folder has other files.
    """
    earlier = _earlier(folder)
    if earlier is None and folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} has files that are no export of slot-machine", "name another folder, or one that is empty"
        )
    gone = sorted(set(earlier or ()) - set(files))
    try:
        for name, text in (dict(files) | {LISTING: "".join(f"{name}\n" for name in sorted(files))}).items():
            _write(folder / name, text)
        for name in gone:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from None
    return gone


def _earlier(folder: Path) -> list[str] | None:
    """The names in the listing, without such as lead out of the folder; None if there is no listing."""
    try:
        names = (folder / LISTING).read_text().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {folder / LISTING}: {error}", "name another folder") from None
    return [name for name in names if name and not name.startswith("/") and ".." not in Path(name).parts]


def _write(path: Path, text: str) -> None:
    """In one step. Raises OSError."""
    content = text.encode()
    try:
        if path.read_bytes() == content and not path.is_symlink():
            return
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
