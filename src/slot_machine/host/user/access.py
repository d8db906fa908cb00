"""What another user can read, write and replace. A process of that user asks the kernel."""

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from slot_machine.core.errors import StartRefused
from slot_machine.host.user.rights import Account, impossible, of_child

MOST_LINKS = 40
"""In one path: the kernel's limit (path_resolution(7))."""

LIMIT_S = 30.0

TEST = 'for path; do if test "$0" "$path"; then echo y; else echo n; fi; done'


def reachable(folder: Path, user: Account) -> bool:
    """Whether the user may enter the folder. Raises StartRefused."""
    return _tested("-x", [folder], user) == [True]


def writable(folders: Sequence[Path], user: Account) -> list[Path]:
    """The folders in which the user may write. Raises StartRefused."""
    return [folder for folder, may in zip(folders, _tested("-w", folders, user), strict=True) if may]


def replaceable(path: Path, user: Account) -> Path | None:
    """The first folder of the path in which the user could replace the next part of it. None if there is none.

    The user could make a part that does not exist yet. Raises StartRefused.
    """
    steps = list(_steps(path))
    may_write = set(writable([folder for folder, _ in steps if folder.exists()], user))
    return next((folder for folder, name in steps if _may_exchange(folder, name, user, folder in may_write)), None)


def _may_exchange(folder: Path, name: str, user: Account, may_write: bool) -> bool:
    try:
        found = folder.stat()
    except FileNotFoundError:
        return False
    if found.st_uid == user.uid:
        return True
    if not may_write or not found.st_mode & stat.S_ISVTX:
        return may_write
    try:
        return (folder / name).lstat().st_uid == user.uid
    except FileNotFoundError:
        return True


def _steps(path: Path) -> Iterator[tuple[Path, str]]:
    """Each folder that leads to the path, with the name of the next part in it. Follows symlinks."""
    left, at, links = list(reversed(path.absolute().parts)), Path("/"), 0
    while left:
        part = left.pop()
        if part == "/":
            at = Path("/")
        elif part == "..":
            at = at.parent
        else:
            yield at, part
            if (at / part).is_symlink() and links < MOST_LINKS:
                links += 1
                left += reversed((at / part).readlink().parts)
            else:
                at /= part


def _tested(test: str, paths: Sequence[Path], user: Account) -> list[bool]:
    """Runs `test` on each path as that user. Raises StartRefused if no process can have the user's rights."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", TEST, test, *map(str, paths)],
            cwd="/",
            env={"PATH": os.defpath},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=LIMIT_S,
            **of_child(user),
        )
    except OSError as error:
        raise impossible(user, error) from None
    except subprocess.TimeoutExpired:
        raise StartRefused(f"cannot tell what {user.name} may reach: no answer within {LIMIT_S:g} s") from None
    return [answer == "y" for answer in done.stdout.split()]
