import asyncio
import subprocess
from pathlib import Path

import pytest

from slot_machine.core.errors import CommitNotFound
from tests.repository import Repository


def test_checkout_keeps_ignored_files_and_packages_and_removes_the_rest(repository: Repository) -> None:
    first = repository.commit({"app": "1", "gone": "1", ".gitignore": "*.cache\n"})
    second = repository.commit({"app": "2", ".gitignore": "*.cache\n"})
    repository.checkout(first)
    packages = ("node_modules/x/index.js", "web/node_modules/y.js", ".venv/bin/python", "vendor/bundle/gem.rb")
    repository.leave("leftover", "dir/leftover", "kept.cache", "vendor/other", *packages)
    repository.leave("app")

    repository.checkout(second)

    assert repository.left() == {"app", ".gitignore", "kept.cache", *packages}
    assert (repository.slot / "app").read_text() == "2"
    assert asyncio.run(repository.worktrees.head(1)) == second


def test_checkout_where_an_ignored_folder_stands_in_the_way(repository: Repository) -> None:
    first = repository.commit({"app": "1", ".gitignore": "data\n"})
    repository.checkout(first)
    repository.leave("data/file")

    repository.checkout(repository.commit({"data": "now a file", ".gitignore": ""}))

    assert (repository.slot / "data").read_text() == "now a file"


@pytest.mark.parametrize("what", ["file", "folder", "broken", "gone"])
def test_slot_that_is_no_worktree_is_made_anew(repository: Repository, what: str) -> None:
    commit = repository.commit({"app": "1"})
    if what == "file":
        repository.slot.write_text("")
    elif what == "folder":
        repository.slot.mkdir()
        repository.leave("something")
    else:
        repository.checkout(commit)
        subprocess.run(["rm", "-rf", repository.slot / ".git" if what == "broken" else repository.slot], check=True)

    repository.checkout(commit)

    assert repository.left() == {"app"}


def test_nested_repository_left_in_the_slot_is_removed(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    subprocess.run(["git", "init", "--quiet", repository.slot / "nested"], check=True)

    repository.checkout(commit)

    assert not (repository.slot / "nested").exists()


def test_submodules_are_checked_out(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text('[protocol "file"]\nallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    (tmp_path / "module").mkdir()
    module = Repository(tmp_path / "module")
    module.commit({"lib": "1"})
    without = repository.commit({"app": "1"})
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(module.path), "lib")
    repository.git("commit", "--quiet", "--message", "submodule")
    with_module = repository.git("rev-parse", "HEAD")

    repository.checkout(with_module)
    assert (repository.slot / "lib" / "lib").read_text() == "1"
    repository.leave("lib/leftover")
    repository.checkout(with_module)
    assert not (repository.slot / "lib" / "leftover").exists()
    repository.checkout(without)
    assert not (repository.slot / "lib").exists()


def test_lock_of_a_git_that_was_killed_does_not_cost_the_installed_packages(repository: Repository) -> None:
    old, new = repository.commit({"file": "old"}), repository.commit({"file": "new"})
    repository.checkout(old)
    repository.leave("node_modules/package")
    lock = Path(repository.git("rev-parse", "--absolute-git-dir")) / "worktrees" / "tree-1" / "index.lock"
    lock.touch()

    repository.checkout(new)

    assert (repository.slot / "file").read_text() == "new"
    assert (repository.slot / "node_modules" / "package").exists()


def test_hooks_of_the_user_do_not_run(repository: Repository) -> None:
    hook = repository.path / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch hooked\n")
    hook.chmod(0o755)

    repository.checkout(repository.commit({"app": "1"}))

    assert repository.left() == {"app"}


def test_fingerprint_tells_edits_of_tracked_files_only(repository: Repository) -> None:
    repository.checkout(repository.commit({"app": "1"}))
    assert asyncio.run(repository.worktrees.fingerprint(1)) == ""
    repository.leave("untracked")
    assert asyncio.run(repository.worktrees.fingerprint(1)) == ""
    repository.leave("app")
    assert asyncio.run(repository.worktrees.fingerprint(1))
    assert asyncio.run(repository.worktrees.fingerprint(2)) is None


def test_resolve(repository: Repository) -> None:
    first = repository.commit({"app": "1"})
    repository.git("tag", "--annotate", "v1", "--message", "v1")
    second = repository.commit({"app": "2"})

    for commitish, commit in [("HEAD", second), ("main", second), ("HEAD~1", first), ("v1", first), (first[:9], first)]:
        assert asyncio.run(repository.worktrees.resolve(commitish)) == commit
    for commitish in (
        "--help",
        "-1",
        "HEAD..main",
        "HEAD...main",
        "^HEAD",
        "",
        " ",
        "HEAD^{tree}",
        "HEAD:app",
        "HEAD\0x",
        "@{9}",
    ):
        with pytest.raises(CommitNotFound):
            asyncio.run(repository.worktrees.resolve(commitish))
