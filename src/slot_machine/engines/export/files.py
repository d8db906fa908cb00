"""Writes an export into a folder: makes it anew, and never touches what somebody else has written there."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from slot_machine.core.errors import ConfigError

LISTING = ".slot-machine-export"
"""Names the files of an export, a line each, so that the next one knows which are its own."""
SECRET = "secret"
"""Names of files that may have values of variables begin like this: their owner alone reads them."""


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
    _refuse_links(folder, [*files, *gone])
    try:
        for name, text in (dict(files) | {LISTING: "".join(f"{name}\n" for name in sorted(files))}).items():
            _write(folder / name, text, private=name.startswith(SECRET))
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


def _refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Folders of the export may be those of a repository that somebody else has written. Raises ConfigError."""
    for name in names:
        for above in list(Path(name).parents)[:-1]:
            if (folder / above).is_symlink():
                raise ConfigError(f"{folder / above} is a link, and an export follows none", "remove it")


def _write(path: Path, text: str, *, private: bool) -> None:
    """In one step. Raises OSError."""
    content = text.encode()
    try:
        if path.read_bytes() == content and not path.is_symlink() and not (private and path.stat().st_mode & 0o077):
            return
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.touch(0o600 if private else 0o666)
        beside.write_bytes(content)
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
