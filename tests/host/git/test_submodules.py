import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest

from slot_machine.core.errors import GitFailed
from tests.repository import Repository

Commit = tuple[str, str]


class Modules:
    """An app with a submodule `lib` that has one itself, `lib/deep`."""

    def __init__(self, folder: Path) -> None:
        for name in ("app", "lib", "deep"):
            (folder / name).mkdir()
        self.app, self.lib, self.deep = (Repository(folder / name) for name in ("app", "lib", "deep"))
        self.deep.commit({"bottom": "1"})
        self.lib.commit({"file": "1"})
        self.add(self.lib, self.deep, "deep")
        self.app.commit({"app": "1"})
        self.commit = self.add(self.app, self.lib, "lib")
        self.slot = self.app.slot
        self.git_dir = self.app.path / ".git" / "worktrees" / "tree-1"

    def add(self, to: Repository, what: Repository, path: str, *options: str) -> str:
        to.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", *options, str(what.path), path)
        to.git("commit", "--quiet", "--message", "submodule")
        return to.git("rev-parse", "HEAD")

    def remove(self, of: Repository, path: str) -> None:
        of.git("rm", "-rfq", path)
        shutil.rmtree(of.path / ".git" / "modules" / path)

    def checkout(self, commit: str = "") -> None:
        self.app.checkout(commit or self.commit)

    def fingerprint(self) -> str | None:
        return asyncio.run(self.app.worktrees.fingerprint(1))

    def whole(self) -> bool:
        files = [self.slot / "app", self.slot / "lib" / "file", self.slot / "lib" / "deep" / "bottom"]
        return all(path.read_text() == "1" for path in files) and self.fingerprint() == ""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modules:
    config = tmp_path / "gitconfig"
    config.write_text('[protocol "file"]\nallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    return Modules(tmp_path)


def test_hand_edits_are_noticed_however_deep(modules: Modules) -> None:
    modules.app.git("config", "--file", ".gitmodules", "submodule.lib.ignore", "all")
    modules.app.git("commit", "--quiet", "--all", "--message", "ignore")
    modules.app.git("config", "diff.ignoreSubmodules", "all")
    commit = modules.app.git("rev-parse", "HEAD")
    modules.checkout(commit)
    assert modules.whole()
    seen = set()
    for name, text in [("lib/file", "2"), ("lib/file", "3"), ("lib/deep/bottom", "2")]:
        (modules.slot / name).write_text(text)
        seen.add(modules.fingerprint())
        (modules.slot / "lib" / "file").write_text("1")

    assert len(seen - {None, ""}) == 3
    modules.checkout(commit)
    assert modules.whole()


def test_another_commit_and_nothing_in_a_submodule_are_noticed(modules: Modules) -> None:
    modules.app.git("config", "submodule.lib.ignore", "all")
    modules.checkout()
    identity = ("-c", "user.name=me", "-c", "user.email=me@localhost")
    argv = ["git", *identity, "commit", "--quiet", "--allow-empty", "--message", "by hand"]
    subprocess.run(argv, cwd=modules.slot / "lib", check=True)
    assert modules.fingerprint()
    shutil.rmtree(modules.slot / "lib")
    assert modules.fingerprint()

    modules.checkout()

    assert modules.whole()


def test_edit_in_a_submodule_that_git_was_told_to_skip(modules: Modules) -> None:
    modules.checkout()
    lib = modules.slot / "lib"
    subprocess.run(["git", "update-index", "--skip-worktree", "file"], cwd=lib, check=True)
    (lib / "file").write_text("2")
    assert modules.fingerprint()

    modules.checkout()

    assert modules.whole()


def test_users_wish_to_update_submodules_with_each_checkout_does_not_count(modules: Modules) -> None:
    modules.checkout()
    modules.app.leave("node_modules/package")
    lib = modules.lib.commit({"file": "1", "further": "1"})
    modules.app.git("-C", "lib", "-c", "protocol.file.allow=always", "fetch", "--quiet")
    modules.app.git("-C", "lib", "checkout", "--quiet", "--force", lib)
    modules.app.git("commit", "--quiet", "--all", "--message", "newer lib")
    modules.app.git("config", "submodule.recurse", "true")

    modules.checkout(modules.app.git("rev-parse", "HEAD"))

    assert (modules.slot / "lib" / "further").exists()
    assert (modules.slot / "node_modules" / "package").exists()


def test_submodule_that_became_a_folder_leaves_nothing(modules: Modules) -> None:
    modules.checkout()
    modules.remove(modules.app, "lib")
    folder = modules.app.commit({"app": "1", "lib/own": "1"})

    modules.checkout(folder)

    assert modules.app.left() == {"app", "lib/own"}
    assert not (modules.slot / "lib" / ".git").exists()
    modules.checkout(modules.commit)
    assert modules.whole()


def test_nested_submodule_that_became_a_folder_leaves_nothing(modules: Modules) -> None:
    modules.checkout()
    modules.remove(modules.lib, "deep")
    lib = modules.lib.commit({"file": "1", "deep/own": "1"})
    modules.app.git("-C", "lib", "-c", "protocol.file.allow=always", "fetch", "--quiet")
    modules.app.git("-C", "lib", "checkout", "--quiet", "--force", lib)
    modules.app.git("commit", "--quiet", "--all", "--message", "newer lib")

    modules.checkout(modules.app.git("rev-parse", "HEAD"))

    assert [path.name for path in (modules.slot / "lib" / "deep").iterdir()] == ["own"]


def test_folder_that_became_a_submodule_may_hold_ignored_files(modules: Modules) -> None:
    modules.checkout(modules.app.commit({"app": "1", "lib/own": "1", ".gitignore": "*.cache\n"}))
    modules.app.leave("lib/kept.cache", "lib/node_modules/package")

    modules.checkout()

    assert modules.whole()


def test_url_and_update_as_the_commit_says(modules: Modules, tmp_path: Path) -> None:
    modules.checkout()
    (tmp_path / "other").mkdir()
    other = Repository(tmp_path / "other")
    newer = other.commit({"file": "2"})
    modules.remove(modules.app, "lib")
    modules.app.commit({"app": "1"})
    commit = modules.add(modules.app, other, "lib")
    modules.app.git("config", "submodule.lib.update", "rebase")

    modules.checkout(commit)
    assert (modules.slot / "lib" / "file").read_text() == "2"
    further = other.commit({"file": "3"})
    subprocess.run(["git", "fetch", "--quiet"], cwd=modules.slot / "lib", check=True)
    subprocess.run(["git", "checkout", "--quiet", further], cwd=modules.slot / "lib", check=True)
    modules.checkout(commit)

    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=modules.slot / "lib", check=True, capture_output=True)
    assert head.stdout.decode().strip() == newer


def test_locks_of_gits_that_were_killed(modules: Modules) -> None:
    modules.checkout()
    (modules.slot / "lib" / "file").write_text("2")
    (modules.slot / "lib" / "deep" / "bottom").write_text("2")
    for lock in ("index.lock", "HEAD.lock", "config.lock", "shallow.lock", "modules/deep/index.lock"):
        (modules.git_dir / "modules" / "lib" / lock).touch()

    modules.checkout()

    assert modules.whole()


def test_what_was_cloned_is_used_again(modules: Modules, tmp_path: Path) -> None:
    modules.checkout()
    modules.app.leave("lib/node_modules/package", "lib/deep/node_modules/package", "lib/leftover")
    for name in ("lib", "deep"):
        (tmp_path / name).rename(tmp_path / f"{name} is away")

    modules.checkout()

    assert modules.whole()
    assert (modules.slot / "lib" / "deep" / "node_modules" / "package").exists()
    assert (modules.slot / "lib" / "node_modules" / "package").exists()
    assert not (modules.slot / "lib" / "leftover").exists()


@pytest.mark.parametrize("head", ["ref: refs/heads/main\n", ""])
def test_clone_that_was_killed_is_begun_anew(modules: Modules, head: str) -> None:
    modules.checkout()
    git_dir = modules.git_dir / "modules" / "lib"
    (git_dir / "HEAD").write_text(head)
    shutil.rmtree(git_dir / "refs")
    shutil.rmtree(git_dir / "objects")
    (git_dir / "packed-refs").unlink(missing_ok=True)
    (git_dir / "refs").mkdir()
    (git_dir / "objects").mkdir()

    modules.checkout()

    assert modules.whole()


@pytest.mark.parametrize("how", ["file", "link", "folder", "gone", "parent"])
def test_git_file_of_a_submodule_that_leads_elsewhere_is_not_followed(modules: Modules, how: str) -> None:
    modules.checkout()
    victim = modules.deep.path
    (victim / "mine").write_text("uncommitted")
    pointer = modules.slot / "lib" / ".git"
    if how == "parent":
        shutil.rmtree(modules.slot / "lib")
        (modules.slot / "lib").symlink_to(victim)
    else:
        pointer.unlink()
    if how == "file":
        pointer.write_text(f"gitdir: {victim / '.git'}\n")
    elif how == "link":
        pointer.symlink_to(victim / ".git")
    elif how == "folder":
        shutil.copytree(victim / ".git", pointer)

    modules.checkout()

    assert modules.whole()
    assert (victim / "mine").read_text() == "uncommitted"
    assert (victim / ".git").is_dir()


def test_link_on_the_way_to_a_submodule_is_not_followed(modules: Modules, tmp_path: Path) -> None:
    (modules.app.path / ".gitignore").write_text("cache\n")
    modules.app.git("add", ".gitignore")
    commit = modules.add(modules.app, modules.deep, "cache/deep", "--force")
    modules.checkout(commit)
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    (tmp_path / "mine" / "deep" / "file").touch()
    shutil.rmtree(modules.slot / "cache")
    (modules.slot / "cache").symlink_to(tmp_path / "mine")

    modules.checkout(commit)

    assert (tmp_path / "mine" / "deep" / "file").exists()
    assert (modules.slot / "cache" / "deep" / "bottom").exists()
    assert not (modules.slot / "cache").is_symlink()


def test_git_dir_of_a_submodule_that_works_elsewhere_is_not_used(modules: Modules, tmp_path: Path) -> None:
    modules.checkout()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    subprocess.run(["git", "config", "core.worktree", str(elsewhere)], cwd=modules.slot / "lib", check=True)

    modules.checkout()

    assert modules.whole()
    assert (elsewhere / "mine").exists()


def test_names_and_paths_that_lead_out_of_the_slot_are_not_followed(modules: Modules) -> None:
    modules.checkout()
    modules.app.git("config", "--file", ".gitmodules", "submodule.up.path", "../mine")
    modules.app.git("config", "--file", ".gitmodules", "submodule.up.url", "nowhere")
    modules.app.git("commit", "--quiet", "--all", "--message", "hostile path")
    (modules.slot.parent / "mine").mkdir()
    (modules.slot / "lib" / "file").write_text("2")

    modules.checkout(modules.app.git("rev-parse", "HEAD"))

    assert modules.whole()
    modules.app.git(
        "config", "--file", ".gitmodules", "--rename-section", "submodule.lib", "submodule.../../../../mine"
    )
    modules.app.git("commit", "--quiet", "--all", "--message", "hostile name")
    (modules.app.path / "mine").mkdir()
    with contextlib.suppress(GitFailed):
        modules.checkout(modules.app.git("rev-parse", "HEAD"))
    assert (modules.slot.parent / "mine").exists()
    assert (modules.app.path / "mine").exists()


def test_submodule_that_was_moved_away_and_linked_is_left_alone(modules: Modules, tmp_path: Path) -> None:
    modules.checkout()
    away = tmp_path / "away"
    (modules.slot / "lib").rename(away)
    (modules.slot / "lib").symlink_to(away)
    (away / ".git").write_text(f"gitdir: {modules.git_dir / 'modules' / 'lib'}\n")
    (away / "mine").touch()

    modules.checkout()

    assert modules.whole()
    assert (away / "mine").exists()
    assert not (modules.slot / "lib").is_symlink()


def test_submodule_that_became_a_link_to_a_repository(modules: Modules) -> None:
    modules.checkout()
    modules.remove(modules.app, "lib")
    (modules.app.path / "lib").symlink_to(modules.deep.path)
    modules.app.git("add", "--all")
    modules.app.git("commit", "--quiet", "--message", "link")

    modules.checkout(modules.app.git("rev-parse", "HEAD"))

    assert (modules.slot / "lib").is_symlink()
    assert (modules.deep.path / ".git").is_dir()


@pytest.mark.parametrize("choice", ["submodule.lib.update none", "submodule.active other"])
def test_submodule_that_is_not_to_be_checked_out_stays_away(modules: Modules, choice: str) -> None:
    modules.app.git("config", "--remove-section", "submodule.lib")
    modules.app.git("config", *choice.split())

    modules.checkout()

    assert list((modules.slot / "lib").iterdir()) == []
    assert modules.fingerprint() == modules.fingerprint()


def test_a_host_that_lets_nobody_in_is_named(modules: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of ssh: what it says when a key is refused."""
    modules.app.git("config", "--file", ".gitmodules", "submodule.lib.url", "ssh://git@forge.example/lib.git")
    modules.app.git("commit", "--quiet", "--all", "--message", "another address")
    refusal = "git@forge.example: Permission denied (publickey)."
    monkeypatch.setenv("GIT_SSH_COMMAND", f"echo '{refusal}' >&2; exit 255;")
    monkeypatch.setenv("USER", "shop")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(GitFailed, match=r"it asked ssh://forge\.example/lib\.git") as failed:
        modules.checkout(modules.app.git("rev-parse", "HEAD"))
    assert refusal in str(failed.value)
    assert (
        failed.value.hint == "no ssh agent: SSH_AUTH_SOCK is not set for git: give shop a key that the remote accepts"
    )


def test_an_address_that_has_changed_is_taken_from_the_commit(modules: Modules, tmp_path: Path) -> None:
    modules.checkout()
    shutil.move(modules.lib.path, tmp_path / "moved")
    shutil.rmtree(modules.git_dir / "modules" / "lib")
    modules.app.git("config", "--file", ".gitmodules", "submodule.lib.url", str(tmp_path / "moved"))
    modules.app.git("commit", "--quiet", "--all", "--message", "another address")
    modules.checkout(modules.app.git("rev-parse", "HEAD"))
    assert modules.whole()


def test_the_variables_of_a_hook_do_not_reach_submodules(modules: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    modules.checkout()
    assert modules.whole()
