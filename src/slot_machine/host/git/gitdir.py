"""Git dirs of linked worktrees and of their submodules, as they lie on disk (gitrepository-layout(5))."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from slot_machine.host.files.regular import open_regular
from slot_machine.host.process import proc
from slot_machine.host.user.rights import acting

KEPT_INDEX = "slot-machine.index"
"""The index as a checkout of ours left it. What a setup or a person does to the other one, such as `git update-index
--assume-unchanged`, hides no edit and spoils no checkout."""

LONGEST = 65_536
"""Of the files that are read here, each of which has a path or a line of text."""

HALF_MADE = "initializing"
"""How git locks a worktree while it adds it."""

WORKS_ELSEWHERE = re.compile(r"\[core\](?:[^\[]*\n)?\s*worktree\s*=", re.IGNORECASE)
"""With `core.worktree` in the worktree's own configuration, a checkout and a clean-up are of that folder."""


@acting()
def of_worktree(tree: Path, common: Path) -> Path | None:
    """None unless tree and git dir name each other, and belong to the repository with this common git dir."""
    git_dir = named_by(tree / ".git")
    if git_dir is None or _reason_of_lock(git_dir) == HALF_MADE:
        return None
    if WORKS_ELSEWHERE.search(_read(git_dir / "config.worktree")):
        return None
    sound = _is_of(git_dir, tree) and os.path.realpath(git_dir / _read(git_dir / "commondir")) == str(common)
    return git_dir if sound else None


@acting()
def named_by(file: Path) -> Path | None:
    """The git dir that a `.git` file leads to."""
    text = _read(file)
    return Path(os.path.realpath(file.parent / text.removeprefix("gitdir: "))) if text.startswith("gitdir: ") else None


@acting()
def lock_of_user(tree: Path, common: Path) -> str | None:
    """The reason for which a user locked the registration of this worktree (`git worktree lock`), None without one."""
    for file in (common / "worktrees").glob("*/locked"):
        reason = _reason_of_lock(file.parent)
        if reason not in (None, HALF_MADE) and _is_of(file.parent, tree):
            return reason
    return None


@acting()
def clear_stale_locks(folder: Path) -> None:
    """A git that was killed leaves them, and every later one refuses to begin. Others' may be held: they stay."""
    for lock in map(str, _locks(folder)):
        if proc.find_with_open({lock}) is None:
            Path(lock).unlink(missing_ok=True)


@acting()
def keep_index(git_dir: Path) -> None:
    """Git never writes to an index that is there: it puts another one in its place."""
    kept = git_dir / KEPT_INDEX
    kept.unlink(missing_ok=True)
    with suppress(OSError):  # There may be no index, or no hard links.
        os.link(git_dir / "index", kept)


@acting()
def kept_index(git_dir: Path) -> dict[str, str]:
    """The environment in which git uses it."""
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
    """Those of version 2 have no bit for it (gitformat-index(5))."""
    with os.fdopen(open_regular(index), "rb") as file:
        return file.read(8) != b"DIRC\0\0\0\2"


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
    """Empty for what is no file, or is not there; a FIFO in its place makes nobody wait."""
    try:
        with os.fdopen(open_regular(path), errors="surrogateescape") as file:
            return file.read(LONGEST).strip()
    except OSError:
        return ""
