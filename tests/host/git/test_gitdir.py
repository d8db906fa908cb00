"""A slot's git dir and what leads to it: tampered with, locked, left half made."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine.core.errors import GitFailed
from slot_machine.host.git import trees
from tests.repository import Repository, nest


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Repository(tmp_path)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Repository]:
    """Another repository, with uncommitted work in it and a git that runs, or so it seems."""
    (tmp_path / "victim").mkdir()
    victim = Repository(tmp_path / "victim")
    victim.commit({"app": "theirs"})
    (victim.path / "app").write_text("uncommitted")
    (victim.path / "untracked").touch()
    (victim.path / ".git" / "index.lock").touch()
    yield victim
    assert (victim.path / "app").read_text() == "uncommitted"
    assert (victim.path / "untracked").exists()
    assert (victim.path / ".git" / "index.lock").exists()


@pytest.mark.parametrize("how", ["file", "main", "link", "folder", "other worktree", "FIFO"])
def test_git_file_that_leads_elsewhere_is_replaced_and_not_followed(
    repository: Repository, victim: Repository, how: str
) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    pointer = repository.slot / ".git"
    pointer.unlink()
    if how in ("file", "main"):
        pointer.write_text(f"gitdir: {(victim if how == 'file' else repository).path / '.git'}\n")
    elif how == "link":
        pointer.symlink_to(victim.path / ".git")
    elif how == "folder":
        shutil.copytree(victim.path / ".git", pointer)
    elif how == "FIFO":
        os.mkfifo(pointer)
    else:
        other = repository.path.parent / "other"
        repository.git("worktree", "add", "--quiet", "--detach", str(other), commit)
        shutil.copy(other / ".git", pointer)

    assert asyncio.run(repository.worktrees.head(1)) == ""
    assert asyncio.run(repository.worktrees.fingerprint(1)) is None
    assert asyncio.run(repository.worktrees.try_git(repository.slot, "ls-files"))[0]
    repository.checkout(commit)

    assert (repository.slot / "app").read_text() == "1"
    assert asyncio.run(repository.worktrees.head(1)) == commit


@pytest.mark.parametrize("file", ["gitdir", "commondir", "HEAD", "index"])
def test_git_dir_that_was_tampered_with_is_begun_anew(repository: Repository, victim: Repository, file: str) -> None:
    old, commit = repository.commit({"app": "0"}), repository.commit({"app": "1"})
    repository.checkout(old)
    git_dir = git_dir_of(repository)
    (git_dir / file).write_text(str(victim.path / ".git"))
    if file != "index":
        assert asyncio.run(repository.worktrees.head(1)) == ""

    repository.checkout(commit)

    assert (repository.slot / "app").read_text() == "1"
    assert asyncio.run(repository.worktrees.head(1)) == commit
    assert asyncio.run(repository.worktrees.fingerprint(1)) == ""


def test_git_dir_that_works_elsewhere_is_begun_anew(repository: Repository, victim: Repository) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    repository.git("config", "extensions.worktreeConfig", "true")
    settings = str(git_dir_of(repository) / "config.worktree")
    repository.git("config", "--file", settings, "core.sparseCheckout", "false")
    assert asyncio.run(repository.worktrees.head(1)) == commit
    repository.git("config", "--file", settings, "core.worktree", str(victim.path))

    assert asyncio.run(repository.worktrees.head(1)) == ""
    assert asyncio.run(repository.worktrees.try_git(repository.slot, "ls-files"))[0]
    repository.checkout(commit)

    assert (repository.slot / "app").read_text() == "1"
    assert asyncio.run(repository.worktrees.head(1)) == commit


def test_worktrees_of_the_user_stay_registered(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit({"app": "1"})
    away, locked = tmp_path / "disk" / "away", tmp_path / "disk" / "locked"
    repository.git("worktree", "add", "--quiet", "--detach", str(away), commit)
    repository.git("worktree", "add", "--quiet", "--lock", "--detach", str(locked), commit)
    (tmp_path / "disk").rename(tmp_path / "not mounted")
    repository.checkout(commit)
    shutil.rmtree(repository.slot)

    repository.checkout(commit)

    registered = repository.git("worktree", "list", "--porcelain")
    for path in (away, locked, repository.slot):
        assert registered.count(f"worktree {path}\n") == 1


def test_slot_that_a_user_locked_is_not_begun_anew(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    repository.git("worktree", "lock", "--reason", "looking into it", str(repository.slot))
    repository.checkout(commit)
    (repository.slot / ".git").unlink()

    with pytest.raises(GitFailed, match="is locked: looking into it") as failure:
        repository.checkout(commit)

    assert "git worktree unlock" in failure.value.hint
    assert (repository.slot / "app").exists()


def test_worktree_that_was_half_made_is_begun_anew(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    (git_dir_of(repository) / "locked").write_text("initializing")

    repository.checkout(commit)

    assert not (git_dir_of(repository) / "locked").exists()


@pytest.mark.parametrize("lock", ["index.lock", "HEAD.lock", "logs/HEAD.lock", "config.worktree.lock"])
def test_lock_of_a_git_that_was_killed_does_not_cost_the_installed_packages(repository: Repository, lock: str) -> None:
    old, new = repository.commit({"file": "old"}), repository.commit({"file": "new"})
    repository.git("config", "extensions.worktreeConfig", "true")
    repository.checkout(old)
    repository.leave("node_modules/package")
    (git_dir_of(repository) / lock).touch()

    repository.checkout(new)

    assert (repository.slot / "file").read_text() == "new"
    assert (repository.slot / "node_modules" / "package").exists()
    assert not (git_dir_of(repository) / lock).exists()


def test_lock_on_our_own_ref(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    asyncio.run(repository.worktrees.protect("next", commit))
    refs = repository.path / ".git" / "refs"
    for name in ("slot-machine/next.lock", "slot-machine/previous.lock", "heads/main.lock"):
        (refs / name).touch()

    asyncio.run(repository.worktrees.protect("next", commit))
    asyncio.run(repository.worktrees.protect("previous", commit))

    assert [path.name for path in refs.rglob("*.lock")] == ["main.lock"]


def test_lock_that_a_process_holds_stays(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    lock = git_dir_of(repository) / "logs" / "HEAD.lock"
    with lock.open("w"):
        assert asyncio.run(repository.worktrees.fingerprint(1)) == ""
        assert lock.exists()
    assert asyncio.run(repository.worktrees.fingerprint(1)) == ""
    assert not lock.exists()


def test_slot_whose_paths_are_too_long_for_git_is_begun_anew(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    nest(repository.slot / "deep", 50)

    repository.checkout(commit)

    assert sorted(os.listdir(repository.slot)) == [".git", "app"]


def git_dir_of(repository: Repository) -> Path:
    argv = ["git", "rev-parse", "--absolute-git-dir"]
    done = subprocess.run(argv, cwd=repository.slot, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


def test_fifo_in_place_of_the_git_file_makes_nobody_wait(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    (repository.slot / ".git").unlink()
    os.mkfifo(repository.slot / ".git")

    assert not trees.made_as_slot(repository.slot)
    repository.checkout(commit)
    assert (repository.slot / ".git").is_file()
