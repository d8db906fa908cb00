"""What `slot-machine deploy` takes for the commit: in hooks, in repositories that git refuses, outside of any."""

import os
import sys
from pathlib import Path

import pytest

from slot_machine.cli import here
from slot_machine.core.errors import CommitNotFound, GitFailed
from tests.repository import Repository
from tests.users import is_mapped


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    repository = Repository(tmp_path)
    monkeypatch.chdir(repository.path)
    return repository


def test_repository_is_that_of_the_folder_not_that_of_the_hook(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = Repository(tmp_path / "other")
    other.commit({"app": "other"})
    mine = repository.commit({"app": "mine"})
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git" / "index"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "broken")

    assert here.resolved("HEAD") == mine
    monkeypatch.chdir(repository.path / ".git")
    assert here.resolved("main") == mine


def test_post_receive_means_the_repository_that_was_pushed_to(repository: Repository, tmp_path: Path) -> None:
    repository.git("config", "receive.denyCurrentBranch", "updateInstead")
    old = repository.commit({"app": "1"})
    repository.git("clone", "--quiet", str(repository.path), str(tmp_path / "clone"))
    hook = repository.path / ".git" / "hooks" / "post-receive"
    said = tmp_path / "said"
    hook.parent.mkdir(exist_ok=True)
    code = f"from slot_machine.cli import here; open({str(said)!r}, 'w').write(here.resolved('HEAD'))"
    hook.write_text(f"#!{sys.executable} -I\n{code}\n")
    repository.git("-C", str(tmp_path / "clone"), "commit", "--quiet", "--allow-empty", "--message", "new")
    hook.chmod(0o755)

    repository.git("-C", str(tmp_path / "clone"), "push", "--quiet", "origin", "HEAD:main")

    assert said.read_text() == repository.git("rev-parse", "HEAD") != old


def test_replaced_history_is_not_followed(repository: Repository) -> None:
    first = repository.commit({"app": "1"})
    second = repository.commit({"app": "2"})
    repository.commit({"app": "3"})
    repository.git("replace", "--graft", "HEAD", first)

    assert here.resolved("HEAD~1") == second


def test_error_of_git_is_no_reason_to_deploy_something_else(repository: Repository) -> None:
    commit = repository.commit({"app": "1"})
    (repository.path / ".git" / "config").write_text("[core\n")

    with pytest.raises(GitFailed, match="bad config line") as failure:
        here.resolved("HEAD")

    assert "full hash" in failure.value.hint
    assert here.resolved(commit) == commit


@pytest.mark.skipif(os.geteuid() != 0 or not is_mapped(65534), reason="takes root to give a repository away")
def test_repository_of_somebody_else(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit({"app": "1"})
    for path in (repository.path, repository.path / ".git"):
        os.chown(path, 65534, 65534)

    assert here.resolved("HEAD") == "HEAD", "root leaves it to the daemon"
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(GitFailed, match="dubious ownership"):
        here.resolved("HEAD")


def test_repository_that_is_broken_is_not_outside_of_one(repository: Repository, tmp_path: Path) -> None:
    del repository
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("gitdir: /nowhere\n")
    os.chdir(tmp_path / "broken")

    with pytest.raises(GitFailed, match="not a git repository: /nowhere"):
        here.resolved("HEAD")


def test_what_is_no_commit_here(repository: Repository) -> None:
    for commitish in ("HEAD", "nonsense", ""):
        with pytest.raises(CommitNotFound, match="is not a commit in"):
            here.resolved(commitish)
    assert here.resolved("--all") == "--all"
    del repository


def test_outside_of_any_repository_the_daemon_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", "/nowhere")

    assert here.resolved("HEAD") == "HEAD"


@pytest.mark.parametrize(("sudo_uid", "user"), [("1234", ""), ("", "www-data")])
def test_root_runs_no_git_in_a_repository_of_anothers(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sudo_uid: str, user: str
) -> None:
    repository.commit({"app": "1"})
    ran = tmp_path / "ran"
    git = tmp_path / "bin/git"
    git.parent.mkdir()
    git.write_text(f'#!/bin/sh\ntouch {ran}\necho "fatal: detected dubious ownership in repository" >&2\nexit 128\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if sudo_uid:
        monkeypatch.setenv("SUDO_UID", sudo_uid)

    assert here.resolved("HEAD~1", user) == "HEAD~1"
    assert not ran.exists()


def test_files_that_no_commit_has_are_found(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit({"app": "1", ".gitignore": "ignored\n", "folder/x": "1"})
    assert here.uncommitted() == []
    for name in ("app", "ignored", "a new one", "folder/x"):
        (repository.path / name).write_text("2")
    assert sorted(here.uncommitted()) == ["a new one", "app", "folder/x"]
    assert not (repository.path / ".git" / "index.lock").exists()
    monkeypatch.chdir(repository.path / ".git")
    assert here.uncommitted() == [], "git can't tell there"
    monkeypatch.chdir("/")
    assert here.uncommitted() == []
    if os.geteuid() == 0:
        monkeypatch.chdir(repository.path)
        assert here.uncommitted("www-data") == [], "root runs no git in a repository of somebody else"
