"""The git dirs of worktrees and submodules, as files on disk (gitrepository-layout(5))."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slot_machine.host.files.regular import open_regular
from slot_machine.host.process import proc
from slot_machine.host.user.rights import acting

KEPT_INDEX = "slot-machine.index"
"""A copy of the index from right after the checkout. Nobody else changes it, so that `git update-index
--assume-unchanged` in a setup hides no edit and spoils no checkout."""

LONGEST = 65_536
"""In bytes, for the files read here. Each contains a path or a line of text."""

HALF_MADE = "initializing"
"""Git's reason for the lock of a worktree that it has not finished adding."""

WORKS_ELSEWHERE = re.compile(r"\[core\](?:[^\[]*\n)?\s*worktree\s*=", re.IGNORECASE)
"""`core.worktree` in the worktree's own configuration would turn checkout and clean-up to another folder."""


@acting()
def of_worktree(tree: Path, common: Path) -> Path | None:
    """The worktree's git dir. None unless both name each other and belong to the repository of git dir `common`."""
    git_dir = named_by(tree / ".git")
    if git_dir is None or _reason_of_lock(git_dir) == HALF_MADE:
        return None
    if WORKS_ELSEWHERE.search(_read(git_dir / "config.worktree")):
        return None
    sound = _is_of(git_dir, tree) and os.path.realpath(git_dir / _read(git_dir / "commondir")) == str(common)
    return git_dir if sound else None


@acting()
def named_by(file: Path) -> Path | None:
    """The git dir that a `.git` file names. None if it names none."""
    text = _read(file)
    return Path(os.path.realpath(file.parent / text.removeprefix("gitdir: "))) if text.startswith("gitdir: ") else None


@acting()
def lock_of_user(tree: Path, common: Path) -> str | None:
    """The reason with which a user locked this worktree (`git worktree lock`). None if it is not locked."""
    for file in (common / "worktrees").glob("*/locked"):
        reason = _reason_of_lock(file.parent)
        if reason not in (None, HALF_MADE) and _is_of(file.parent, tree):
            return reason
    return None


@acting()
def clear_stale_locks(folder: Path) -> None:
    """Deletes lock files that no process has open: a killed git leaves them, and later calls fail because of them."""
    for lock in map(str, _locks(folder)):
        if proc.find_with_open({lock}) is None:
            Path(lock).unlink(missing_ok=True)


@acting()
def keep_index(git_dir: Path) -> None:
    """Copies the index by a hard link. That is safe, because git replaces an index and never writes into it."""
    kept = git_dir / KEPT_INDEX
    kept.unlink(missing_ok=True)
    with suppress(OSError):  # There may be no index, or the file system has no hard links.
        os.link(git_dir / "index", kept)


@acting()
def kept_index(git_dir: Path) -> dict[str, str]:
    """The environment in which git uses the kept index. Empty if there is none."""
    kept = git_dir / KEPT_INDEX
    return {"GIT_INDEX_FILE": str(kept)} if kept.is_file() else {}


@acting()
def restore_index(git_dir: Path) -> None:
    kept, index = git_dir / KEPT_INDEX, git_dir / "index"
    if kept.is_file():
        kept.replace(index)
        kept.unlink(missing_ok=True)  # rename(2) does nothing if both are the same file.
    elif index.is_file() and _may_skip_entries(index):
        index.unlink()


def _may_skip_entries(index: Path) -> bool:
    """Whether the index may mark files to be skipped. Version 2 has no bit for that (gitformat-index(5))."""
    with os.fdopen(open_regular(index), "rb") as file:
        return file.read(8) != b"DIRC\0\0\0\2"


@acting()
def tree_of(registration: Path) -> Path | None:
    """The working tree of a worktree's git dir, which need not be there any more."""
    file = _read(registration / "gitdir")
    return Path(file).parent if file else None


def _locks(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder.resolve()):
        if "objects" in folders:
            folders.remove("objects")
        yield from (Path(where, name) for name in files if name.endswith(".lock"))


def _is_of(git_dir: Path, tree: Path) -> bool:
    return os.path.realpath(git_dir / _read(git_dir / "gitdir")) == os.path.realpath(tree / ".git")


def _reason_of_lock(git_dir: Path) -> str | None:
    return _read(git_dir / "locked") if (git_dir / "locked").exists() else None


def _read(path: Path) -> str:
    """Empty if there is no file, or not a regular one. Never waits for a FIFO."""
    try:
        with os.fdopen(open_regular(path), errors="surrogateescape") as file:
            return file.read(LONGEST).strip()
    except OSError:
        return ""
