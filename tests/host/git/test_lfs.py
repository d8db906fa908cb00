"""Files that Git LFS keeps elsewhere, in a tree where nothing fetches them."""

import asyncio
from pathlib import Path

import pytest

from tests.repository import Repository

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
FILES = {
    ".gitattributes": "*.png filter=lfs diff=lfs merge=lfs -text\n",
    "logo.png": POINTER,
    "img/a b.png": POINTER,
    "whole.png": "PNG",
    "notes.txt": POINTER,
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    repository = Repository(tmp_path)
    repository.checkout(repository.commit(FILES))
    return repository


def pointers(repository: Repository) -> list[str]:
    return asyncio.run(repository.worktrees.lfs_pointers(1))


def test_pointers_are_named(repository: Repository) -> None:
    assert pointers(repository) == ["img/a b.png", "logo.png"]


def test_what_a_setup_has_fetched_is_none(repository: Repository) -> None:
    for name in ("logo.png", "img/a b.png"):
        (repository.slot / name).write_text("PNG")
    assert pointers(repository) == []


def test_no_link_is_followed(repository: Repository) -> None:
    (repository.slot / "logo.png").unlink()
    (repository.slot / "logo.png").symlink_to("notes.txt")
    assert pointers(repository) == ["img/a b.png"]


@pytest.mark.parametrize("key", ["lfs.fetchexclude", "lfs.fetchinclude"])
def test_who_asks_for_pointers_gets_them(repository: Repository, key: str) -> None:
    repository.git("config", key, "*")
    assert pointers(repository) == []


def test_so_does_a_daemon_that_is_told_to_skip_them(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
    assert pointers(repository) == []
