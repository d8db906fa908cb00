"""Changes the owner of folders with all their contents, and of files.

A process of the former owner may still run. So no step uses a path that the former owner can change: each step starts
from an open folder and follows no symlink.
"""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slot_machine.host.user.rights import Account

DEEPEST = 200
"""The deepest level of folders. Anything deeper keeps its owner."""

UNFINISHED = 0
"""The mode of a folder until it is complete. Root can work in it anyway."""

PIECE = 1 << 30
COPY = ".slot-machine-copy"
FOLDER = os.O_RDONLY | os.O_DIRECTORY

log = logging.getLogger(__name__)


def hand_over(folder: Path, user: Account | None) -> None:
    """Gives the folder to `user`, or to the daemon's own user for None. Raises OSError.

    Only the daemon may change names in the parent folder. The folder itself changes its owner last, and nobody can
    enter it before that: if the daemon is killed, the next start does it again.
    """
    uid, gid = (user.uid, user.gid) if user else (os.geteuid(), os.getegid())
    with _opened(str(folder), FOLDER) as fd:
        found = os.fstat(fd)
        if found.st_uid == uid and (user or stat.S_IMODE(found.st_mode)):
            return
        log.warning("%s belonged to user %d; now it is user %d's, with all that is in it", folder, found.st_uid, uid)
        os.fchown(fd, os.geteuid(), os.getegid())
        os.fchmod(fd, UNFINISHED)
        _hand_over_contents(fd, uid, gid, DEEPEST)
        os.fchmod(fd, stat.S_IMODE(found.st_mode) | 0o700)
        os.fchown(fd, uid, gid)


def take_file(path: Path) -> None:
    """Replaces a file of another user by a copy that is the daemon's: the other may have it open. Raises OSError.

    Removes anything else than a file. Only the daemon may change names in the parent folder.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        path.unlink()
        return
    with _opened(str(path.parent), FOLDER) as folder, _opened(path.name, os.O_PATH, folder) as fd:
        _replace_by_copy(fd, path.name, folder, os.geteuid(), os.getegid(), 0o600)


def _hand_over_contents(folder: int, uid: int, gid: int, depth: int) -> None:
    for name in os.listdir(folder):
        with suppress(FileNotFoundError, NotADirectoryError), _opened(name, os.O_PATH, folder) as fd:
            found = os.fstat(fd)
            if stat.S_ISDIR(found.st_mode):
                with _opened(name, FOLDER, folder) as inner:
                    if depth and os.fstat(inner).st_dev == os.fstat(folder).st_dev:
                        _hand_over_contents(inner, uid, gid, depth - 1)
                        os.fchown(inner, uid, gid)
            elif found.st_uid != uid:
                _hand_over_file(fd, found, name, folder, uid, gid)


def _hand_over_file(fd: int, found: os.stat_result, name: str, folder: int, uid: int, gid: int) -> None:
    """A file with hard links also lies elsewhere. It is left if it is root's, and else replaced by a copy."""
    if found.st_nlink == 1:
        os.chown(_by(fd), uid, gid)
    elif stat.S_ISREG(found.st_mode) and found.st_uid:
        _replace_by_copy(fd, name, folder, uid, gid, stat.S_IMODE(found.st_mode))


def _replace_by_copy(fd: int, name: str, folder: int, uid: int, gid: int, mode: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(COPY, dir_fd=folder)
    source = os.open(_by(fd), os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _opened(COPY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder) as target:
            while os.sendfile(target, source, None, PIECE):
                pass
            os.fsync(target)
            os.fchown(target, uid, gid)
            os.fchmod(target, mode & 0o777)
    finally:
        os.close(source)
    os.rename(COPY, name, src_dir_fd=folder, dst_dir_fd=folder)


@contextmanager
def _opened(name: str, flags: int, folder: int | None = None) -> Iterator[int]:
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _by(fd: int) -> str:
    """A path to the very file that was opened with O_PATH, even if another file has its name by now."""
    return f"/proc/self/fd/{fd}"
