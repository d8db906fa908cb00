"""Folders of installed packages: whether one is as a setup left it, and a copy of one for another tree."""

import asyncio
import ctypes
import hashlib
import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from slot_machine.host.files.app_files import GONE, is_folder
from slot_machine.host.files.removal import remove
from slot_machine.host.process import commands
from slot_machine.host.process.environment import of_commands

WRITTEN_BY_MANAGERS = (".package-lock.json", ".modules.yaml", ".yarn-integrity", ".yarn-state.yml")
"""In `node_modules`. A manager writes its file whenever it changes something."""

DEEPEST = 4
"""`vendor/bundle/ruby/3.3.0/gems/NAME`"""

COPY = 'cp -a --reflink=auto -- "$0" "$1" && mv -- "$1" "$2"'
COPY_LIMIT_S = 300.0
PART = ".slot-machine-part"


def digest(folder: Path) -> str:
    """Changes when packages are added, removed or replaced. Empty if there is no such folder. Blocks."""
    if not is_folder(folder):
        return ""
    if (folder / "pyvenv.cfg").is_file():
        found = list(_of_environment(folder))
    elif folder.name == "node_modules":
        found = list(_of_node(folder))
    else:
        found = [str(path.relative_to(folder)) for path in _folders(folder, DEEPEST)]
    return hashlib.sha256("\n".join(sorted(found)).encode(errors="surrogateescape")).hexdigest()


def first_change(tree: Path, digests: Mapping[str, str], made: Mapping[bytes, tuple[int, int]]) -> str:
    """The name of a folder or a file that is not what it was; empty if all are. `made` is as in `Made`. Blocks."""
    folders = (name for name, known in digests.items() if digest(tree / name) != known)
    files = (os.fsdecode(name) for name, known in made.items() if _size_and_time(tree / os.fsdecode(name)) != known)
    return next(itertools.chain(folders, files), "")


async def copy(source: Path, target: Path, owner: str) -> bool:
    """Copies the folder with the rights of `user`. Whether it was done. Raises OSError.

    The copy shares the disk's blocks where the file system can do that, but no file. It gets its name at the end.
    """
    part = target.parent / PART
    await remove(part, owner)
    try:
        async with asyncio.timeout(COPY_LIMIT_S):
            argv = ["/bin/sh", "-c", COPY, str(source), str(part), str(target)]
            code, _, _ = await commands.run(argv, commands.ROOT, of_commands(), owner)
    except TimeoutError:
        code = 1
    if code:
        await remove(part, owner)
    return code == 0


def reach_the_disk(folder: Path) -> None:
    """All that was written to the folder's file system survives a power cut from now on. Blocks. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(fd)


def _of_node(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if path.name.startswith("@") and is_folder(path):
            yield from (f"{path.name}/{name}" for name in os.listdir(path))
        elif not path.name.startswith("."):
            yield path.name
    yield from (_state(folder / name) for name in WRITTEN_BY_MANAGERS)


def _of_environment(folder: Path) -> Iterator[str]:
    yield (folder / "pyvenv.cfg").read_text(errors="replace")
    yield f"{os.path.realpath(folder / 'bin/python')} {_state(folder / 'bin/python')}"
    for packages in sorted(folder.glob("lib/python*/site-packages")):
        yield from (path.name for path in packages.iterdir() if path.name != "__pycache__")


def _folders(folder: Path, levels: int) -> Iterator[Path]:
    for path in folder.iterdir():
        if is_folder(path):
            yield path
            if levels > 1:
                yield from _folders(path, levels - 1)


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.lstat()
    except OSError:
        return GONE
    return status.st_size, status.st_mtime_ns


def _state(path: Path) -> str:
    with suppress(OSError):
        status = path.stat()
        return f"{path.name} {status.st_size} {status.st_mtime_ns}"
    return f"{path.name} missing"
