"""Resolves a commit in the repository of the current folder."""

import os
import re
import subprocess
from pathlib import Path

from slot_machine.cli import target
from slot_machine.core.errors import CommitNotFound, GitFailed
from slot_machine.core.git_variables import TRUE_HISTORY, unbound

LIMIT_S = 60.0
STATUS_LIMIT_S = 5.0
OUTSIDE = "not a git repository (or any"
ANOTHERS = "dubious ownership"
HASH = "[0-9a-f]{40}|[0-9a-f]{64}"


def uncommitted(user: str = "") -> list[str]:
    """Changed and new files of the repository that no commit has; empty if git can't or may not tell."""
    return [] if target.chosen() or _is_anothers(user) else changes()


def changes() -> list[str]:
    """As `uncommitted`, without regard to which app is meant and who asks."""
    try:
        found = _git("status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=dirty", limit_s=STATUS_LIMIT_S)
    except GitFailed:
        return []
    return [entry[3:] for entry in found.stdout.split("\0") if entry] if found.returncode == 0 else []


def resolved(commitish: str, user: str = "") -> str:
    """Returns the full hash, or `commitish` if the daemon has to look for it in its own repository.

    The daemon does so for an app that `-a` names, outside of any repository, and for root in the repository of another
    user. Settings of that repository may name commands, so git does not run there as root: neither for a `user` of the
    configuration, nor under sudo, where git would trust the caller's repositories. In a git hook, the repository is
    that of the current folder too, not the one in the hook's environment. Raises CommitNotFound, GitFailed.
    """
    if target.chosen() or _is_anothers(user):
        return commitish
    return found(commitish)


def found(commitish: str) -> str:
    """As `resolved`, without regard to which app is meant and who asks."""
    if commitish.startswith("-") or re.fullmatch(HASH, commitish):
        return commitish
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commitish}^{{commit}}").stdout.strip()
    if re.fullmatch(HASH, commit):
        return commit
    repository = _git("rev-parse", "--git-dir")
    if repository.returncode == 0:
        hint = "commit it or fetch it first; a full hash is looked for in the daemon's repository"
        raise CommitNotFound(f"{commitish!r} is not a commit in {Path.cwd()}", hint)
    if OUTSIDE in repository.stderr or (os.geteuid() == 0 and ANOTHERS in repository.stderr):
        return commitish
    hint = "mend that, or deploy a full hash, which is looked for in the daemon's repository"
    raise GitFailed(f"git can't read the repository of {Path.cwd()}: {repository.stderr.strip()}", hint)


def branch() -> str:
    """The one that is checked out; empty if there is none."""
    return _git("symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip()


def has(commit: str) -> bool:
    """Whether the repository of the current folder has the commit with that hash."""
    return _git("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def is_shallow() -> bool:
    return _git("rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def _is_anothers(user: str) -> bool:
    """Whether the repository may belong to somebody else, so that git must not run there as root."""
    return os.geteuid() == 0 and bool(user or os.environ.get("SUDO_UID", "0") != "0")


def _git(*args: str, limit_s: float = LIMIT_S) -> "subprocess.CompletedProcess[str]":
    env = unbound(os.environ) | TRUE_HISTORY | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(
            ["git", *args], env=env, capture_output=True, text=True, errors="replace", check=False, timeout=limit_s
        )
    except FileNotFoundError:
        raise GitFailed("git is not installed", "install git, or deploy a full hash") from None
    except subprocess.TimeoutExpired:
        raise GitFailed(f"git did not answer within {limit_s:g} s", "look at what holds it up") from None
