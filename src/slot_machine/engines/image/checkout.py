"""A commit as a slot's checkout makes it, in a temporary folder. Nothing of it stays in the user's repository."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.errors import StageFailed
from slot_machine.core.model import short
from slot_machine.core.phases import Phase
from slot_machine.core.setup.files import Files
from slot_machine.host.files.regular import open_regular
from slot_machine.host.git import contents, gitdir, trees
from slot_machine.host.git.git import Git
from slot_machine.host.git.listing import Listing
from slot_machine.host.git.worktrees import Worktrees

PREFIX = "slot-machine-image-"
LOCK = "lock"
"""Held by the process that uses the folder. The kernel lets go of it when that is killed."""
TREE = 1
LARGEST_INPUT = 50_000_000
MOST_NAMED = 3
WITHOUT_LFS = "install git-lfs and run `git lfs install` here; docs/git.md tells more"


class Checkout(NamedTuple):
    """`folder` has the commit's files and nothing of git. `place` is the temporary folder around it.

    `top` is the user's repository, unless that is a bare one.
    """

    folder: Path
    place: Path
    files: Files
    top: Path | None = None


@contextmanager
def checked_out(repo: Path, commit: str, root: str) -> Iterator[Checkout]:
    """Raises StageFailed, GitFailed."""
    _remove_left(Path(tempfile.gettempdir()))
    place = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    lock = os.open(place / "new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (place / "new").rename(place / LOCK)
        yield asyncio.run(_check_out(repo, commit, root, place))
    finally:
        _forget(place / trees.name(TREE))
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


async def _check_out(repo: Path, commit: str, root: str, place: Path) -> Checkout:
    worktrees = Worktrees(repo, place)
    tree = worktrees.path(TREE)
    _forget_left(await worktrees.common())
    await worktrees.checkout(TREE, commit)
    if root and not ((tree / root).is_dir() and (tree / root).resolve().is_relative_to(tree.resolve())):
        what = f"root: {root!r} is not a folder in commit {short(commit)}"
        raise StageFailed(Phase.CHECKOUT, what, hint="name the app's folder from the repository's top")
    if names := await worktrees.lfs_pointers(TREE):
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        what = f"only the pointers of Git LFS are there, not the files: {', '.join(names[:MOST_NAMED])}{more}"
        raise StageFailed(Phase.CHECKOUT, what, hint=WITHOUT_LFS)
    listing = Listing(worktrees.try_git, tree)
    digests, links = await listing.objects()
    committed_at = (await worktrees.describe(commit)).committed_at
    for name in ["", *await listing.submodules()]:
        _forget(tree / name)
        (tree / name / ".git").unlink(missing_ok=True)
    _make_reproducible(tree, datetime.fromisoformat(committed_at).timestamp())
    top = await contents.top(Git(repo), repo)
    return Checkout(tree, place, Files(digests, lambda name: _text(tree / name), links), top)


def _make_reproducible(tree: Path, time_s: float) -> None:
    """Modes and times depend on the commit alone.

    Two commits do not have the same time: clients would take a file of the same size for unchanged.
    """
    for where, folders, names in os.walk(tree, topdown=False):
        for path in (Path(where, name) for name in (*names, *folders)):
            _settle(path, time_s)
    _settle(tree, time_s)


def _settle(path: Path, time_s: float) -> None:
    if not path.is_symlink():
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    os.utime(path, (time_s, time_s), follow_symlinks=False)


def _forget(tree: Path) -> None:
    """Lets the repository forget the worktree. Its files stay."""
    registration = gitdir.named_by(tree / ".git")
    if registration and registration.parent.name == "worktrees" and gitdir.tree_of(registration) == tree:
        _remove_registration(registration)


def _forget_left(common: Path) -> None:
    """Worktrees of processes that were killed."""
    for registration in (common / "worktrees").glob("*"):
        tree = gitdir.tree_of(registration)
        if tree and tree.parent.name.startswith(PREFIX) and _is_left(tree.parent):
            _remove_registration(registration)


def _remove_registration(registration: Path) -> None:
    shutil.rmtree(registration, ignore_errors=True)
    with suppress(OSError):
        registration.parent.rmdir()


def _remove_left(folder: Path) -> None:
    for place in folder.glob(f"{PREFIX}*"):
        if place.stat().st_uid == os.geteuid() and (place / LOCK).exists() and _is_left(place):
            shutil.rmtree(place, ignore_errors=True)


def _is_left(place: Path) -> bool:
    """Whether nobody uses the folder, or it is gone."""
    try:
        lock = os.open(place / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return not place.exists()
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)


def _text(path: Path) -> str:
    """Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(LARGEST_INPUT).decode(errors="replace")
