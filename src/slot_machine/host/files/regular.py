"""Opens paths that may not be regular files: opening a FIFO waits, and a device may do anything."""

import errno
import os
import stat
from pathlib import Path

from slot_machine.host.user import rights

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Returns a file descriptor. Never waits. Raises OSError, also if it is not a regular file."""
    if not flags & os.O_CREAT or path.exists():
        _check(path, path.stat())
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, mode)
    try:
        # Checked again: the path may lead to another file by now.
        _check(path, os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    os.set_blocking(fd, True)
    return fd


def open_own(path: Path, flags: int = 0) -> int:
    """A file descriptor for writing; makes the file. Raises OSError, also if it is a symlink or has a hard link."""
    try:
        fd = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symlink", str(path)) from None
        raise
    if os.fstat(fd).st_nlink > 1:
        os.close(fd)
        raise OSError(errno.EMLINK, "it has a second name, by a hard link", str(path))
    return fd


def open_owned(path: Path) -> int:
    """A file descriptor for reading, with the rights of `user`; else for a file of root's own. Raises OSError.

    Root follows no symlink and reads no file with hard links, so that `user` can't make it read another file.
    """
    try:
        with rights.acting():
            return open_regular(path)
    except PermissionError:
        if not rights.other():
            raise
    fd = _open_without_links(path)
    try:
        found = os.fstat(fd)
        _check(path, found)
        if found.st_uid != os.geteuid() or found.st_nlink > 1:
            raise PermissionError(errno.EACCES, "neither `user` nor root alone may read it", str(path))
    except OSError:
        os.close(fd)
        raise
    return fd


def folder_without_links(path: Path) -> int:
    """An open folder (O_PATH): that of the path, if no part of it is a symlink. Raises OSError."""
    folder = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for part in Path(os.path.abspath(path)).parts[1:-1]:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
    except OSError:
        os.close(folder)
        raise
    return folder


def _open_without_links(path: Path) -> int:
    folder = folder_without_links(path)
    try:
        return os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)


def check_appendable(path: Path) -> None:
    """Raises OSError unless the path is a regular file, missing, a character device, or in /proc like /dev/stdout."""
    if path.exists() and not path.is_char_device() and not os.path.realpath(path).startswith("/proc/"):
        _check(path, path.stat())


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
