"""Removes a folder with all its contents, of any depth. Refuses if anything is mounted in it.

Child processes do the work, because 100,000 files take seconds.
"""

import asyncio
import os
import subprocess
from contextlib import suppress
from pathlib import Path

from slot_machine.host.files import mounts
from slot_machine.host.process import commands
from slot_machine.host.process.environment import of_commands
from slot_machine.host.user import rights

LIMIT_S = 600.0

REMOVE = 'rm -rf -- "$0" || { chmod -R u+rwX -- "$0"; rm -rf -- "$0"; }'
"""If rm fails, folders are made writable and it runs again. rm has no limit for the length of a path."""


async def remove_tree(path: Path, owner: str) -> None:
    """Like `remove`, for a tree: `user` empties it, the daemon removes it from its own folder. Raises OSError."""
    try:
        await remove(path, owner)
    except OSError:
        if not rights.other():
            raise
        with suppress(OSError):
            path.rmdir()
        if os.path.lexists(path):
            raise


async def remove(path: Path, owner: str) -> None:
    """Removes the path, if it exists, with the rights of `user`. `owner`: `containment.owner`. Raises OSError."""
    if not os.path.lexists(path):
        return
    argv = _argv(path)
    try:
        async with asyncio.timeout(LIMIT_S):
            code, _, err = await commands.run(argv, commands.ROOT, of_commands(), owner)
    except TimeoutError:
        raise OSError(f"cannot remove {path} within {LIMIT_S:g} s") from None
    if code:
        raise _failure(path, err)


def remove_here(path: Path) -> None:
    """Like `remove`, but blocks, for at most LIMIT_S. Raises OSError."""
    try:
        done = subprocess.run(
            _argv(path),
            env=of_commands(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
            **rights.of_child(rights.other()),
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"cannot remove {path} within {LIMIT_S:g} s") from None
    if done.returncode:
        raise _failure(path, done.stderr)


def _argv(path: Path) -> list[str]:
    """Raises OSError if anything is mounted there: its files must not be removed."""
    mounts.refuse(mounts.at_or_below(path), f"cannot remove {path}")
    return ["/bin/sh", "-c", REMOVE, str(path)]


def _failure(path: Path, errors: str) -> OSError:
    return OSError(f"cannot remove {path}: {errors.strip().splitlines()[-1]}")
