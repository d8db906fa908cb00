"""The registry of running daemons, in which clients find one by its name, its folder or its configuration.

A daemon publishes an entry, named by a digest of its data folder, in a folder that only its user can write to. What
others wrote there is data: no link is followed, and an entry is believed only if its owner wrote it, until the process
that it names is surely gone. That process may be hidden (`hidepid`), also from others of the same user.
"""

import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import msgspec

from slot_machine.host.process import proc
from slot_machine.host.process.proc import Identity

NAME = "slot-machine"
OF_ROOT = f"/run/{NAME}"
OF_USER = "/run/user/{uid}/" + NAME
WITHOUT_SESSION = f"/tmp/{NAME}-" + "{uid}"
"""For a user who is not logged in, such as that of a service: /run/user/UID is there only while somebody is."""
OTHERS_WRITE = 0o022
LARGEST_BYTES = 65_536
SUFFIX = ".json"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A running daemon. All paths are absolute, without symlinks.

    `files` are the paths of configuration files that mean its app: the one it was started with, and such as lie in its
    repository. A client whose folder has one of them means this daemon.
    """

    name: str
    data: str
    repo: str
    files: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    bind: str = ""
    port: int
    api_port: int
    version: str
    uid: int
    process: Identity


def publish(entry: Entry) -> None:
    """Writes the entry if it is not there as it should be. Raises OSError."""
    text = msgspec.json.encode(entry)
    failure: OSError | None = None
    for path in own_folders():
        try:
            with _opened(path, entry.uid, make=True) as folder:
                _write(folder, _file_name(entry.data), text)
                return
        except OSError as error:
            failure = failure or error
    raise failure or FileNotFoundError("there is no folder for it")


def withdraw(entry: Entry) -> None:
    """Removes the entry, unless it is that of a later daemon by now."""
    for path in own_folders():
        with suppress(OSError), _opened(path, entry.uid) as folder:
            name = _file_name(entry.data)
            if (found := _read(folder, name, entry.uid)) and found.process == entry.process:
                os.unlink(name, dir_fd=folder)


def forget_dead(uid: int) -> None:
    """Removes entries of this user's daemons that were killed."""
    for path in own_folders():
        with suppress(OSError), _opened(path, uid) as folder:
            for name in os.listdir(folder):
                entry = _read(folder, name, uid)
                if entry and proc.is_gone(entry.process):
                    with suppress(OSError):
                        os.unlink(name, dir_fd=folder)


def running() -> list[Entry]:
    """This user's daemons, for root those of all users, by name. Those of an older slot-machine publish nothing."""
    found: dict[str, Entry] = {}
    for path, uid in _all_folders():
        with suppress(OSError), _opened(path, uid) as folder:
            for name in sorted(os.listdir(folder)):
                entry = _read(folder, name, uid)
                if entry and not proc.is_gone(entry.process) and _owns(uid, entry.data):
                    found.setdefault(entry.data, entry)
    return sorted(found.values(), key=lambda entry: (entry.name, entry.data))


def own_folders() -> list[str]:
    """Where this user's daemons publish: in the first one that can be used."""
    uid = os.geteuid()
    if uid == 0:
        return [OF_ROOT]
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    folders = [f"{given}/{NAME}"] if given.startswith("/") else []
    return list(dict.fromkeys([*folders, OF_USER.format(uid=uid), WITHOUT_SESSION.format(uid=uid)]))


def _all_folders() -> list[tuple[str, int]]:
    """Each with the user to whom it has to belong."""
    uid = os.geteuid()
    folders = [(path, uid) for path in own_folders()]
    if uid == 0:
        for pattern in (OF_USER, WITHOUT_SESSION):
            named = re.compile(re.escape(pattern).replace(r"\{uid\}", "([0-9]{1,10})"))
            paths = sorted(glob.glob(pattern.format(uid="*")))
            folders += [(path, int(match[1])) for path in paths if (match := named.fullmatch(path))]
    return folders


def _owns(uid: int, data: str) -> bool:
    """Whether a data folder is that of the user who published it. A user's own entries need not be doubted."""
    try:
        return uid == os.geteuid() or os.stat(data).st_uid == uid
    except (OSError, ValueError):  # ValueError: a path with a NUL.
        return False


def _file_name(data: str) -> str:
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:16] + SUFFIX


@contextmanager
def _opened(path: str, uid: int, *, make: bool = False) -> Iterator[int]:
    """The folder, if it is that user's alone. Raises OSError."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(folder)
        if found.st_uid != uid or found.st_mode & OTHERS_WRITE:
            raise PermissionError(f"{path} is not for user {uid} alone")
        yield folder
    finally:
        os.close(folder)


def _read(folder: int, name: str, uid: int) -> Entry | None:
    if not name.endswith(SUFFIX):
        return None
    try:
        text = _contents(folder, name, uid)
        entry = msgspec.json.decode(text, type=Entry)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return entry if entry.uid == uid and entry.name.isprintable() and name == _file_name(entry.data) else None


def _contents(folder: int, name: str, uid: int) -> bytes:
    """Raises OSError unless it is a regular file of that user."""
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != uid or found.st_size > LARGEST_BYTES:
            raise PermissionError(f"{name} is no entry")
        return file.read(LARGEST_BYTES)


def _write(folder: int, name: str, text: bytes) -> None:
    """Nobody reads half an entry. Raises OSError."""
    with suppress(OSError):
        if _contents(folder, name, os.geteuid()) == text:
            os.utime(name, dir_fd=folder, follow_symlinks=False)  # Programs that clean /tmp remove what is old.
            return
    beside = f"{name}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=folder)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(beside, dir_fd=folder)
        raise
