"""What another user can reach, and where that user can put something else: the kernel is asked, as that user."""

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from slot_machine.core.errors import StartRefused
from slot_machine.host.user.rights import Account, impossible

MOST_LINKS = 40
"""On a path, as the kernel has it (path_resolution(7))."""

LIMIT_S = 30.0

TEST = 'for path; do if test "$0" "$path"; then echo y; else echo n; fi; done'


def reachable(folder: Path, user: Account) -> bool:
    return _tested("-x", [folder], user) == [True]


def writable(folders: Sequence[Path], user: Account) -> list[Path]:
    """Those of these."""
    return [folder for folder, may in zip(folders, _tested("-w", folders, user), strict=True) if may]


def replaceable(path: Path, user: Account) -> Path | None:
    """The first folder on the way to `path` in which the user can exchange what leads on; None if there is none.

    What does not exist yet, the user could make.
    """
    ways = list(_ways(path))
    may_write = set(writable([folder for folder, _ in ways if folder.exists()], user))
    return next((folder for folder, name in ways if _may_exchange(folder, name, user, folder in may_write)), None)


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


def _ways(path: Path) -> Iterator[tuple[Path, str]]:
    """The folders that lead to it, each with the name in it that leads on; symlinks are followed."""
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
    """Raises StartRefused where nothing can be done as that user."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", TEST, test, *map(str, paths)],
            cwd="/",
            env={"PATH": os.defpath},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=LIMIT_S,
            user=user.uid,
            group=user.gid,
            extra_groups=user.groups,
        )
    except OSError as error:
        raise impossible(user, error) from None
    except subprocess.TimeoutExpired:
        raise StartRefused(f"cannot tell what {user.name} may reach: no answer within {LIMIT_S:g} s") from None
    return [answer == "y" for answer in done.stdout.split()]
