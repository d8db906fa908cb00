"""What a commit has at a path."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from slot_machine.core.errors import GitFailed
from slot_machine.host.git.worktrees import Worktrees


def git(repo: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(repo), *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """With a file in a folder, and a link; in its working tree the file has other content."""
    repo = tmp_path / "repo"
    (repo / "apps/web").mkdir(parents=True)
    git(repo, "init", "--quiet")
    (repo / "apps/web/[a] b.json").write_bytes(b"\xff{}\n")
    (repo / "link").symlink_to("apps/web/[a] b.json")
    git(repo, "add", "--all")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "one")
    (repo / "apps/web/[a] b.json").write_bytes(b"changed")
    return repo


def test_the_commits_content_counts_from_any_folder(repo: Path) -> None:
    commit = git(repo, "rev-parse", "HEAD")
    for folder in (repo, repo / "apps"):
        worktrees = Worktrees(folder, repo / ".slot-machine")
        assert asyncio.run(worktrees.file_at(commit, "apps/web/[a] b.json")) == b"\xff{}\n"
        assert asyncio.run(worktrees.file_at(commit, "apps/web/none.json")) is None


@pytest.mark.parametrize("path", ["link", "apps"])
def test_what_is_no_file_is_refused(repo: Path, path: str) -> None:
    with pytest.raises(GitFailed, match=f"{path} is not a regular file in "):
        asyncio.run(Worktrees(repo, repo / ".slot-machine").file_at(git(repo, "rev-parse", "HEAD"), path))


def test_path_of_a_file_from_the_top(repo: Path, tmp_path: Path) -> None:
    worktrees = Worktrees(repo / "apps", repo / ".slot-machine")

    assert asyncio.run(worktrees.path_in_repository(repo / "apps/web/x.json")) == "apps/web/x.json"
    assert asyncio.run(worktrees.path_in_repository(tmp_path / "x.json")) == ""


def test_a_bare_repository_contains_no_file_of_ours(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(repo), "bare.git")

    assert asyncio.run(Worktrees(tmp_path / "bare.git", tmp_path).path_in_repository(tmp_path / "bare.git/x")) == ""


def test_it_is_read_through_the_filters_of_the_repository(repo: Path) -> None:
    (repo / ".gitattributes").write_text("*.json filter=swap\n")
    for name in ("clean", "smudge"):
        git(repo, "config", f"filter.swap.{name}", "tr a-z b-za")
    (repo / "secret.json").write_text("abc")
    git(repo, "add", "--all")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "two")

    content = asyncio.run(
        Worktrees(repo, repo / ".slot-machine").file_at(git(repo, "rev-parse", "HEAD"), "secret.json")
    )

    assert content == b"cde"


def test_a_huge_file_is_refused(repo: Path) -> None:
    (repo / "huge.json").write_bytes(b" " * 1_000_001)
    git(repo, "add", "--all")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "two")

    with pytest.raises(GitFailed, match="has 1000001 bytes"):
        asyncio.run(Worktrees(repo, repo / ".slot-machine").file_at(git(repo, "rev-parse", "HEAD"), "huge.json"))
