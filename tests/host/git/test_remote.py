"""The branch of a remote is fetched: with real git, over local paths, and with an ssh of the test's own."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from slot_machine.core.errors import GitFailed
from slot_machine.host.git.remote import FETCHED, Remote
from tests.remotes import Both, failure, ssh
from tests.repository import Repository

DENIED = "git@example.com: Permission denied (publickey)."


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Both(tmp_path)


def refs(repository: Repository) -> str:
    return repository.git("for-each-ref")


def test_new_commit_is_fetched_and_no_ref_of_the_operator_moves(both: Both) -> None:
    both.here.git("config", "fetch.prune", "true")
    both.here.git("config", "remote.origin.tagOpt", "--tags")
    before = refs(both.here)
    new = both.there.commit({"app": "2"})
    both.there.git("tag", "v2")

    assert both.tip() == new
    assert {line for line in refs(both.here).splitlines() if FETCHED not in line} == set(before.splitlines())
    assert not (both.here.path / ".git" / "FETCH_HEAD").exists()
    assert both.here.git("status", "--porcelain") == ""


def test_remote_is_never_written_to(both: Both) -> None:
    both.here.git("config", "remote.origin.mirror", "true")
    both.here.git("tag", "of-mine")
    before = refs(both.there)
    for _ in range(5):
        both.tip()

    assert refs(both.there) == before


def test_forced_push_is_seen_and_told_from_one_that_only_adds(both: Both) -> None:
    new = both.there.commit({"app": "2"})
    remote = both.remote()
    assert both.tip() == new
    assert asyncio.run(remote.contains(new, both.first))
    both.there.git("reset", "--quiet", "--hard", both.first)
    other = both.there.commit({"app": "3"})

    assert both.tip() == other
    assert not asyncio.run(remote.contains(other, new))
    with pytest.raises(GitFailed):
        asyncio.run(remote.contains(other, "0" * 40))


def test_address_may_stand_in_the_place_of_a_name(both: Both) -> None:
    new = both.there.commit({"app": "2"})

    assert both.tip(str(both.there.path)) == new


def test_bare_repository_without_a_commit_is_filled(both: Both, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "bare.git")], check=True)
    remote = Remote(tmp_path / "bare.git", tmp_path / "here" / "data", str(both.there.path), "main")

    assert asyncio.run(remote.tip()) == both.first


def test_lock_that_a_killed_fetch_left_is_removed(both: Both) -> None:
    lock = both.here.path / ".git" / f"{FETCHED}.lock"
    lock.parent.mkdir()
    lock.touch()

    assert both.tip() == both.first


def test_what_was_left_out_is_noted_in_the_repository(both: Both) -> None:
    remote = both.remote()
    assert asyncio.run(remote.left_out()) == ""
    asyncio.run(remote.leave_out(both.first))

    assert asyncio.run(both.remote().left_out()) == both.first


@pytest.mark.parametrize(
    ("remote", "branch", "what", "hint"),
    [
        ("origin", "gone", "couldn't find remote ref refs/heads/gone", "set follow.branch"),
        ("nobody", "main", "does not appear to be a git repository", "set follow.remote"),
    ],
)
def test_wrong_remote_or_branch_is_named(both: Both, remote: str, branch: str, what: str, hint: str) -> None:
    error = failure(both, remote, branch)

    assert what in str(error)
    assert "\n" not in str(error)
    assert "correct access rights" not in str(error)
    assert hint in error.hint


def test_ssh_asks_nobody_and_a_missing_agent_is_named(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ssh(both, monkeypatch, f"echo '{DENIED}' >&2; exit 255")
    error = failure(both)

    assert "-o BatchMode=yes" in asked.read_text()
    assert DENIED in str(error)
    assert "SSH_AUTH_SOCK is not set" in error.hint
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    assert "the ssh agent at /nowhere/agent is gone" in failure(both).hint


def test_unknown_host_is_named(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh(both, monkeypatch, "echo 'Host key verification failed.' >&2; exit 255")

    assert "known_hosts" in failure(both).hint


def test_password_is_asked_of_nobody(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "1")
    helper = both.here.path.parent / "helper"
    helper.write_text('#!/bin/sh\necho "$GIT_TERMINAL_PROMPT" >&2\nexit 1\n')
    helper.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(helper))
    both.here.git("remote", "set-url", "origin", "git@example.com:shop.git")

    assert "git fetch failed: 0; " in str(failure(both))


def test_remote_is_asked_to_show_its_progress(both: Both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    both.there.commit({"app": "2"})
    ssh(both, monkeypatch, f"tee {tmp_path}/said | git-upload-pack {both.there.path}")
    both.tip()

    said = (tmp_path / "said").read_bytes()
    assert b"command=fetch" in said
    assert b"no-progress" not in said


def test_branch_is_asked_for_without_a_fetch(both: Both) -> None:
    new = both.there.commit({"app": "2"})
    before = refs(both.here)

    assert asyncio.run(both.remote().ask()) == new
    assert refs(both.here) == before
    with pytest.raises(GitFailed, match="couldn't find remote ref refs/heads/gone"):
        asyncio.run(both.remote(branch="gone").ask())


def test_password_in_an_address_is_not_shown(both: Both) -> None:
    error = failure(both, "http://ada:secret@127.0.0.1:1/shop.git")

    assert "secret" not in f"{error} {error.hint}"
