"""Changes a file of secrets in one step: mode 0600, the owner stays, and nobody sees half of it."""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slot_machine.host.files.regular import folder_without_links, open_owned
from slot_machine.host.user import account, rights

PRIVATE = 0o600
WAIT_S = 10.0
POLL_S = 0.05


def read(path: Path) -> bytes:
    """Empty if there is no file. Raises OSError."""
    try:
        with os.fdopen(open_owned(path), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def change(path: Path, edit: Callable[[bytes], bytes]) -> bool:
    """Whether `edit` returned other contents than the file has; then these are on disk. Raises OSError.

    Two changes at once wait for each other. With `user`, it has that user's rights. Only a file of root's own is root's
    business, and then no symlink is followed.
    """
    with _folder(path) as (folder, name, as_root), _locked(folder):
        before = read(path)
        after = edit(before)
        if after == before and _found(folder, name):
            return False
        if as_root:
            _replace(folder, name, after)
        else:
            with rights.acting():
                _replace(folder, name, after)
        return True


@contextmanager
def _folder(path: Path) -> Iterator[tuple[int, str, bool]]:
    """The open folder of the file, its name in it, and whether it is root's business though `user` is set."""
    theirs = rights.other()
    with rights.acting():
        target = Path(os.path.realpath(path))
    try:
        with rights.acting():
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            found = _found(folder, target.name)
    except PermissionError:
        if not theirs:
            raise
        folder, found = -1, None
    as_root = theirs is not None and (folder < 0 or (found is not None and found.st_uid != theirs.uid))
    if as_root:
        if folder >= 0:
            os.close(folder)
        target = path
        handle = folder_without_links(path)
        try:
            folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
        finally:
            os.close(handle)
    try:
        yield folder, target.name, as_root
    finally:
        os.close(folder)


@contextmanager
def _locked(folder: int) -> Iterator[None]:
    """Raises TimeoutError."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                raise TimeoutError(0, f"another process has locked its folder for {WAIT_S:g} s") from None
            time.sleep(POLL_S)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def _found(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _replace(folder: int, name: str, content: bytes) -> None:
    found = _found(folder, name)
    if found and os.geteuid() and found.st_uid != os.geteuid():
        raise PermissionError(0, f"it belongs to {account.name(found.st_uid)}; run this command as that user")
    new = f".{name}.{secrets.token_hex(8)}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            if found:
                _give(fd, found)
            file.write(content)
            file.flush()
            os.fsync(fd)
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=folder)
        raise
    os.fsync(folder)


def _give(fd: int, found: os.stat_result) -> None:
    """The group is given only where that is allowed: nobody but the owner may use the file."""
    if os.fstat(fd).st_uid != found.st_uid:
        os.fchown(fd, found.st_uid, -1)
    with suppress(PermissionError):
        os.fchown(fd, -1, found.st_gid)
