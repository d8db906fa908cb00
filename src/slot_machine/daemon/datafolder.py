"""The data folder: whose it is, and who may enter it.

Without `user` it belongs to the daemon's user, and nobody else may enter. With `user` it belongs to root, and everybody
may pass through it. The trees, `kept`, `shared`, `cache` and `assets` then belong to that user. Only root can rename
them, so that nobody can put something else in their place.
"""

import logging
import os
import re
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path

from slot_machine.core.errors import StartRefused, StateDamaged
from slot_machine.daemon import lock
from slot_machine.host.git.trees import LIVE_FILE
from slot_machine.host.user import access, account, handing_over, rights
from slot_machine.host.user.handing_over import UNFINISHED
from slot_machine.host.user.rights import Account
from slot_machine.state.soundness import open_sound

PASSABLE, CLOSED = 0o711, 0o700
OTHERS = 0o077

OF_USER = re.compile(r"tree-\d|slot-[ab]|kept|shared|cache|assets")
OURS = re.compile(r"daemon\.lock|state\.db.*|tree-\d|slot-[ab](\.log)?|kept|shared|reserve")
"""A folder that has one of these was a data folder before."""

LIKE_EMPTY = {".gitignore", "lost+found"}

LINKS = re.compile(r"(slot-[ab]|live|previous) (tree-\d|slot-[ab])|.*\.seal .*", re.DOTALL)
"""The symlinks that may be there, each with its target. The daemon follows none of them when it writes."""

DATABASE = "state.db"
ROLLBACK = f"{DATABASE}-journal"
"""SQLite deletes the files that it names. It exists only during the first start."""

log = logging.getLogger(__name__)


def claim(data: Path, repo: Path) -> None:
    """Makes the folder, or takes it over from another user. Another daemon may still use it.

    Raises StartRefused.
    """
    check_place(data, repo)
    check_contents(data, repo)
    try:
        rights.make_folder(data.parent)
        with suppress(FileExistsError):
            data.mkdir(CLOSED)
        _take(data)
    except OSError as error:
        raise _unusable(data, error) from None


def settle(data: Path, repo: Path) -> None:
    """Sets owners and modes of all that is in it. The caller must hold its lock. Raises StartRefused."""
    user = rights.other()
    try:
        if os.geteuid() == 0 and (user or _was_another_users(data)):
            _hand_over(data, user)
        if stat.S_IMODE(data.stat().st_mode) == UNFINISHED:
            _forget_processes(data / DATABASE)
        _tighten(data, PASSABLE if user else CLOSED)
        _ignore(data / ".gitignore")
    except OSError as error:
        raise _unusable(data, error) from None
    except sqlite3.Error as error:
        raise StartRefused(f"cannot write to {data / DATABASE}: {error}") from None
    if user and not access.reachable(data, user):
        raise StartRefused(
            f"{user.name} can't reach the data folder {data}",
            f"let that user pass each folder on the way (chmod o+x), or name another one: {_another(repo)}",
        )


def _unusable(data: Path, error: OSError) -> StartRefused:
    return StartRefused(f"cannot use {data} as the data folder: {error.strerror}")


def check_place(data: Path, repo: Path) -> None:
    """Raises StartRefused for a folder that the user could replace by another."""
    user = rights.other()
    if user and (folder := access.replaceable(data, user)):
        raise StartRefused(
            f"{user.name} can move the data folder {data}: {folder} is writable for {user.name}",
            f"name one that only root can move, {_another(repo)}",
        )


def _another(repo: Path) -> str:
    return f'with --data or the field "data", such as /var/lib/slot-machine/{repo.name}'


def check_contents(data: Path, repo: Path) -> None:
    """Refuses a folder that is used for something else: its users could not enter it any more. Raises StartRefused."""
    try:
        names = set(os.listdir(data)) - LIKE_EMPTY
    except OSError:
        return  # It is missing or can't be used, which the caller reports.
    if names and not any(map(OURS.fullmatch, names)):
        raise StartRefused(
            f"{data} has other things than a data folder's in it, such as {min(names)}",
            f"name a new or empty folder, {_another(repo)}",
        )


def _take(data: Path) -> None:
    """From here on, nobody else can put anything into the folder or into its files. Raises OSError, StartRefused.

    A folder of another user stays closed until `settle` is done with it. If that is interrupted, it is done again.
    """
    us, found = os.geteuid(), data.stat()
    theirs = found.st_uid != us
    if us:
        if theirs:
            owner = account.name(found.st_uid)
            raise StartRefused(
                f"the data folder {data} belongs to {owner}, whose daemon may use it",
                f"name another one with --data; if {owner} has no daemon there, `chown -R {us}:{os.getegid()} {data}`",
            )
        return
    if theirs and (other := lock.locked_by(data)):
        raise StartRefused(f"the daemon with pid {other.pid} already uses the data folder {data}", "stop it first")
    was_theirs = theirs or stat.S_IMODE(found.st_mode) == UNFINISHED
    os.chown(data, us, os.getegid())
    if was_theirs:
        data.chmod(UNFINISHED)
        with suppress(FileNotFoundError, IsADirectoryError):
            (data / ROLLBACK).unlink()
    for entry in list(os.scandir(data)):
        if _is_theirs(entry, was_theirs):
            handing_over.take_file(Path(entry.path))


def _is_theirs(entry: "os.DirEntry[str]", folder_was: bool) -> bool:
    """Whether it is another user's file, or, in a folder that was theirs, a link that may lead to a file elsewhere."""
    found = entry.stat(follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        return False
    if stat.S_ISLNK(found.st_mode):
        return folder_was and not LINKS.fullmatch(f"{entry.name} {os.readlink(entry.path)}")
    return found.st_uid != os.geteuid() or (folder_was and found.st_nlink > 1)


def _tighten(data: Path, mode: int) -> None:
    """Takes all access from others, and logs where they had it. Raises OSError."""
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
    # `user` has to read the live file, which holds no secret.
    if stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode) or entry.name == LIVE_FILE:
        return False
    if found.st_uid != os.geteuid() or not found.st_mode & OTHERS:
        return False
    os.chmod(entry.path, 0o600)
    return True


def _was_another_users(data: Path) -> bool:
    """Whether the trees or the whole folder were a `user`'s. If not, the app itself gave its tree to another user."""
    return stat.S_IMODE(data.stat().st_mode) in (PASSABLE, UNFINISHED)


def _forget_processes(database: Path) -> None:
    """Another user may have written them, and root would kill what they name. Raises sqlite3.Error, StartRefused."""
    if database.exists():
        with suppress(StateDamaged), closing(open_sound(database)) as store:
            store.forget_processes()


def _hand_over(data: Path, user: Account | None) -> None:
    if user:
        for name in ("kept", "assets"):
            with suppress(FileExistsError):
                rights.make_theirs(data / name, CLOSED)
    for entry in list(os.scandir(data)):
        if entry.is_dir(follow_symlinks=False) and OF_USER.fullmatch(entry.name):
            handing_over.hand_over(Path(entry.path), user)


def _ignore(path: Path) -> None:
    """Writes it only once, so that a full disk does not prevent a start."""
    if not path.exists():
        with path.open("x") as file:  # Follows no symlink.
            file.write("*\n")
