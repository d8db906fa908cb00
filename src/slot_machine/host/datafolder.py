"""The data folder: whose it is, and who may enter it.

Without another user it is the daemon's alone. With one it is root's, and all may pass through. The user's are the
trees, `kept` and `shared`; their names are root's all the same, so nothing else can be put in their place.
"""

import logging
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from slot_machine.core.errors import StartRefused
from slot_machine.host import access, handing_over, lock, rights
from slot_machine.host.rights import Account

PASSABLE, CLOSED = 0o711, 0o700
OTHERS = 0o077

OF_USER = re.compile(r"tree-\d|slot-[ab]|kept|shared")
LINKS = re.compile(r"slot-[ab]|live|previous|.*\.seal")
"""What may be a symlink; none of them is followed by a daemon that writes."""

log = logging.getLogger(__name__)


def claim(data: Path, repo: Path) -> None:
    """Makes the folder, or makes another user's the daemon's. Whether a daemon uses it is yet to be found out.

    Raises StartRefused.
    """
    check_place(data, repo)
    try:
        rights.make_folder(data.parent)
        with suppress(FileExistsError):
            data.mkdir(CLOSED)
        _take(data)
    except OSError as error:
        raise _unusable(data, error) from None


def settle(data: Path, repo: Path) -> None:
    """Makes all that is in it what it must be, for the only daemon that uses it. Raises StartRefused."""
    user = rights.other()
    try:
        if os.geteuid() == 0 and (user or _is_of_one_with_a_user(data)):
            _hand_over(data, user)
        _tighten(data, PASSABLE if user else CLOSED)
        _ignore(data / ".gitignore")
    except OSError as error:
        raise _unusable(data, error) from None
    if user and not access.reachable(data, user):
        raise StartRefused(
            f"{user.name} can't reach the data folder {data}",
            f"let that user pass each folder on the way (chmod o+x), or name another one: {_another(repo)}",
        )


def _unusable(data: Path, error: OSError) -> StartRefused:
    return StartRefused(f"cannot use {data} as the data folder: {error.strerror}")


def check_place(data: Path, repo: Path) -> None:
    """Raises StartRefused for one that the user could replace by another."""
    user = rights.other()
    if user and (folder := access.replaceable(data, user)):
        raise StartRefused(
            f"{user.name} can move the data folder {data}: {folder} is writable for {user.name}",
            f"name one that only root can move, {_another(repo)}",
        )


def _another(repo: Path) -> str:
    return f'with --data or the field "data", such as /var/lib/slot-machine/{repo.name}'


def _take(data: Path) -> None:
    """Nobody else puts anything into it from here on, nor into a file of it. Raises OSError, StartRefused."""
    us = os.geteuid()
    theirs = data.stat().st_uid != us
    if us:
        if theirs:
            raise StartRefused(
                f"the data folder {data} belongs to another user", f"`chown -R {us}:{os.getegid()} {data}`"
            )
        return
    if theirs and (holder := lock.holder(data)):
        raise StartRefused(f"the daemon with pid {holder.pid} already uses the data folder {data}", "stop it first")
    os.chown(data, us, os.getegid())
    for entry in list(os.scandir(data)):
        if _is_theirs(entry, theirs):
            handing_over.take_file(Path(entry.path))


def _is_theirs(entry: "os.DirEntry[str]", folder_was: bool) -> bool:
    """A file of another user's; in a folder that was that user's, also what may lead to a file elsewhere."""
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        return False
    if stat.S_ISLNK(found.st_mode):
        return folder_was and not LINKS.fullmatch(entry.name)
    return found.st_uid != os.geteuid() or (folder_was and found.st_nlink > 1)


def _tighten(data: Path, mode: int) -> None:
    """Says so where others had access. Raises OSError."""
    before = stat.S_IMODE(data.stat().st_mode)
    if before != mode:
        data.chmod(mode)
    open_before = [str(data)] if before & OTHERS & ~mode else []
    with os.scandir(data) as entries:
        open_before += [entry.name for entry in entries if _tightened(entry)]
    if open_before:
        log.warning("tightened, as others had access to it: %s", ", ".join(open_before))


def _tightened(entry: "os.DirEntry[str]") -> bool:
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode):
        return False
    if found.st_uid != os.geteuid() or not found.st_mode & OTHERS:
        return False
    os.chmod(entry.path, 0o600)
    return True


def _is_of_one_with_a_user(data: Path) -> bool:
    """Whether the latest daemon here had one. Else it is the app's own doing where a tree is another user's."""
    return stat.S_IMODE(data.stat().st_mode) == PASSABLE


def _hand_over(data: Path, user: Account | None) -> None:
    if user:
        with suppress(FileExistsError):
            rights.make_theirs(data / "kept", CLOSED)
    for entry in list(os.scandir(data)):
        if entry.is_dir(follow_symlinks=False) and OF_USER.fullmatch(entry.name):
            handing_over.hand_over(Path(entry.path), user)


def _ignore(path: Path) -> None:
    """Not written anew each time, so that a full disk is no reason not to start."""
    if not path.exists():
        with path.open("x") as file:  # Through no symlink.
            file.write("*\n")
