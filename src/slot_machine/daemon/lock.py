"""The lock of a data folder: one daemon may use it."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.errors import StartRefused
from slot_machine.host.files.regular import open_regular

NAME = "daemon.lock"

log = logging.getLogger(__name__)


class Holder(NamedTuple):
    pid: int
    api_port: int


@contextmanager
def locked(data: Path, api_port: int, handed_fd: int = -1) -> Iterator[int]:
    """Holds the lock and yields its file descriptor. The file has the daemon's pid and its API's port.

    `handed_fd` is the descriptor that an earlier image of this process held. Raises StartRefused if another daemon
    holds the lock.
    """
    path = data / NAME
    fd = handed_fd if _is_open(handed_fd, path) else _opened(path)
    try:
        os.set_inheritable(fd, False)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = (_text(fd).split() or ["unknown"])[0]
            raise StartRefused(
                f"the daemon with pid {pid} already uses the data folder {path.parent}",
                "`slot-machine list` shows it; stop it first, or give this one another folder with --data",
            ) from None
        _name_ourselves(fd, api_port)
        yield fd
    finally:
        os.close(fd)


def locked_by(data: Path) -> Holder | None:
    """None if nobody holds it, or if that can't be told. It does not try the lock: a daemon may want it just then."""
    try:
        path = data / NAME
        with os.fdopen(open_regular(path)) as file:
            pid, port = map(int, file.read().split())
        inode, locks = path.stat().st_ino, Path("/proc/locks").read_text()
    except (OSError, ValueError):
        return None
    # proc_locks(5): number, kind, mode, access, pid, device and inode.
    known = [line.split()[1:6] for line in locks.splitlines()]
    held = any(lock[0] == "FLOCK" and lock[3] == str(pid) and lock[4].endswith(f":{inode}") for lock in known)
    return Holder(pid, port) if held else None


def _opened(path: Path) -> int:
    try:
        return open_regular(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StartRefused(f"cannot use {path.parent} as the data folder: {error.strerror}") from None


def _is_open(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def _text(fd: int) -> str:
    return os.pread(fd, 100, 0).decode(errors="replace")


def _name_ourselves(fd: int, api_port: int) -> None:
    """The text is for messages only, so a full disk is no error. The file is never empty in between."""
    text = f"{os.getpid()}\n{api_port}\n"
    if _text(fd) == text:
        return
    try:
        os.pwrite(fd, text.encode(), 0)
        os.ftruncate(fd, len(text))
    except OSError as error:
        log.error("cannot write who holds the data folder: %s", error)
