"""How git is called: in a hook, in a repository that its user has set up in his own way, and for how long."""

import asyncio
import os
import socket
import subprocess
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.core.errors import GitFailed, GitTimedOut
from slot_machine.core.git_variables import BOUND
from slot_machine.host.files.app_files import AppFiles
from slot_machine.host.git.worktrees import Worktrees
from slot_machine.host.process.environment import inherited
from tests.repository import Repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return Repository(tmp_path)


def test_nothing_is_inherited_that_ties_git_to_a_repository(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = repository.git("rev-parse", "--local-env-vars").split()
    assert set(names) <= BOUND
    for name in {*names, "GIT_QUARANTINE_PATH"}:
        monkeypatch.setenv(name, "elsewhere")
    assert not {*names, "GIT_QUARANTINE_PATH"} & inherited().keys()


def test_commit_that_is_replaced_or_grafted_is_itself(repository: Repository) -> None:
    first = repository.commit({"app": "first"})
    good = repository.commit({"app": "good"})
    other = repository.commit({"app": "other"})
    repository.git("reset", "--quiet", "--hard", good)
    repository.git("replace", good, other)
    grafts = repository.path / ".git" / "info" / "grafts"
    grafts.parent.mkdir(exist_ok=True)
    grafts.write_text(f"{good}\n")

    assert asyncio.run(repository.worktrees.resolve("HEAD~1")) == first
    repository.checkout(good)

    assert (repository.slot / "app").read_text() == "good"


@pytest.mark.parametrize("slot", ["new", "partial"])
def test_slot_of_a_sparse_clone_is_whole(repository: Repository, slot: str) -> None:
    commit = repository.commit({"app": "1", "web/page": "1", "docs/page": "1"})
    repository.git("sparse-checkout", "set", "--cone", "--sparse-index", "web")
    if slot == "partial":
        repository.git("worktree", "add", "--quiet", "--detach", str(repository.slot), commit)
        assert "docs/page" not in repository.left()

    repository.checkout(commit)

    assert repository.left() == {"app", "web/page", "docs/page"}
    (repository.slot / "docs" / "page").unlink()
    repository.checkout(commit)
    assert (repository.slot / "docs" / "page").exists()


def test_files_are_those_of_the_commit_whatever_the_users_working_tree_is_like(repository: Repository) -> None:
    (repository.path / "link").symlink_to("run")
    (repository.path / "run").write_text("#!/bin/sh\necho\n")
    (repository.path / "run").chmod(0o755)
    (repository.path / "notes.txt").write_text("line\n")
    (repository.path / ".gitattributes").write_text("*.txt text\n")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "run")
    for name, value in {
        "core.autocrlf": "true",
        "core.eol": "crlf",
        "core.splitIndex": "true",
        "core.symlinks": "false",
        "core.fileMode": "false",
        "core.ignoreCase": "true",
        "diff.noprefix": "true",
        "diff.external": "true",
        "color.ui": "always",
    }.items():
        repository.git("config", name, value)

    repository.checkout("HEAD")

    assert (repository.slot / "run").read_bytes() == b"#!/bin/sh\necho\n"
    assert (repository.slot / "notes.txt").read_bytes() == b"line\n"
    assert os.access(repository.slot / "run", os.X_OK)
    assert (repository.slot / "link").is_symlink()
    assert fingerprint(repository) == ""
    repository.leave("RUN")
    repository.checkout("HEAD")
    assert repository.left() == {"run", "link", "notes.txt", ".gitattributes"}
    assert not list((repository.path / ".git").rglob("sharedindex.*"))
    (repository.slot / "run").chmod(0o644)
    assert fingerprint(repository)


@pytest.mark.parametrize("setting", ["core.trustctime=false", "core.checkStat=minimal", "core.ignoreStat=true"])
def test_edit_is_noticed_whatever_git_was_told_to_compare(repository: Repository, setting: str) -> None:
    repository.git("config", *setting.split("="))
    commit = repository.commit({"app": "1"})
    repository.checkout(commit)
    app = repository.slot / "app"
    os.utime(app, (1, 1))
    assert fingerprint(repository) == ""
    changed_s = app.stat().st_ctime
    wait_until("git can tell two changes apart", lambda: int(time.time()) > int(changed_s))
    app.write_text("2")
    os.utime(app, (1, 1))

    assert fingerprint(repository)
    repository.checkout(commit)
    assert app.read_text() == "1"


def test_monitor_of_the_users_working_tree_is_not_asked(repository: Repository, tmp_path: Path) -> None:
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path / 'asked'}\n")
    monitor.chmod(0o755)
    commit = repository.commit({"app": "1"})
    repository.git("config", "core.fsmonitor", str(monitor))
    repository.checkout(commit)
    assert fingerprint(repository) == ""

    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_edit_is_noticed_though_git_was_told_to_look_away(repository: Repository, bit: str) -> None:
    commit = repository.commit({"edited": "1", "gone": "1", "mode": "1"})
    for change in (edit, Path.unlink, make_executable):
        repository.checkout(commit)
        subprocess.run(["git", "update-index", bit, "edited", "gone", "mode"], cwd=repository.slot, check=True)
        assert fingerprint(repository) == ""
        change(repository.slot / "edited")
        assert fingerprint(repository)
        app_files = AppFiles(repository.worktrees.try_git, repository.slot, None)
        assert asyncio.run(app_files.edits()) == ["edited"]

    repository.checkout(commit)

    assert (repository.slot / "edited").read_text() == "1"
    assert not os.access(repository.slot / "edited", os.X_OK)


def test_what_is_only_staged_is_noticed_by_what_is_on_disk(repository: Repository) -> None:
    repository.checkout(repository.commit({"app": "1"}))
    repository.leave("app")
    subprocess.run(["git", "add", "app"], cwd=repository.slot, check=True)
    assert fingerprint(repository)


def test_edits_differ_by_their_contents(repository: Repository) -> None:
    repository.checkout(repository.commit({"data": "1" * 1000, "same": "1"}))
    seen = set()
    for text in ("2" * 1000, "\0" * 1000, "\0" * 999 + "\1"):
        (repository.slot / "data").write_text(text)
        seen.add(fingerprint(repository))
        os.utime(repository.slot / "same")
        seen.add(fingerprint(repository))
    assert len(seen) == 3


def test_filter_that_fails_is_named_and_costs_no_packages(repository: Repository) -> None:
    old = repository.commit({"secret": "1", ".gitattributes": "secret filter=crypt\n"})
    new = repository.commit({"secret": "2", ".gitattributes": "secret filter=crypt\n"})
    repository.git("config", "filter.crypt.required", "true")
    repository.git("config", "filter.crypt.smudge", "tr 12 ab")
    repository.git("config", "filter.crypt.clean", "tr ab 12")
    repository.checkout(old)
    assert (repository.slot / "secret").read_text() == "a"
    assert fingerprint(repository) == ""
    repository.leave("node_modules/package")
    repository.git("config", "filter.crypt.smudge", "false")

    with pytest.raises(GitFailed, match="smudge filter crypt failed") as failure:
        repository.checkout(new)

    assert "git-crypt" in failure.value.hint
    assert (repository.slot / "node_modules" / "package").exists()


def test_partial_clone_whose_remote_is_away_says_so(repository: Repository, tmp_path: Path) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    old = repository.commit({"app": "1"})
    new = repository.commit({"app": "2"})
    (tmp_path / "clone" / "data").mkdir(parents=True)
    partial = tmp_path / "clone" / "repo"
    repository.git("clone", "--quiet", "--filter=blob:none", f"file://{repository.path}", str(partial))
    worktrees = Worktrees(partial, tmp_path / "clone" / "data")
    asyncio.run(worktrees.checkout(1, new))
    package = worktrees.path(1) / "node_modules" / "package"
    package.parent.mkdir()
    package.touch()
    repository.path.rename(tmp_path / "away")

    with pytest.raises(GitFailed, match="from promisor remote") as failure:
        asyncio.run(worktrees.checkout(1, old))

    assert "partial clone" in failure.value.hint
    assert package.exists()


def test_git_that_does_not_end_is_ended_with_all_that_it_started(repository: Repository, tmp_path: Path) -> None:
    commit = repository.commit({"data": "1", ".gitattributes": "data filter=slow\n"})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    repository.git("config", "filter.slow.smudge", f"exec 3> {fifo}; sleep 60")
    worktrees = Worktrees(repository.path, repository.worktrees.data, git_limit_s=0.5)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    with pytest.raises(GitTimedOut, match=r"git worktree did not end within 0\.5 s"):
        asyncio.run(worktrees.checkout(1, commit))

    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b"", "the filter still runs"
    os.close(reader)


@pytest.mark.parametrize("scheme", ["git", "http"])
def test_submodule_server_that_never_answers_is_named_without_its_password(repository: Repository, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        address = f"127.0.0.1:{server.getsockname()[1]}/lib"
        user = "me:secret@" if scheme == "http" else ""
        commit = with_submodule(repository, f"{scheme}://{user}{address}")
        worktrees = Worktrees(repository.path, repository.worktrees.data, git_limit_s=1)

        with pytest.raises(GitTimedOut) as failure:
            asyncio.run(worktrees.checkout(1, commit))

        assert f"it asked {scheme}://{address}" in str(failure.value)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(20)
            while connection.recv(65536):
                pass  # Until the last process of git is gone.


@pytest.mark.parametrize("chosen", ["", "core.sshCommand", "GIT_SSH_COMMAND"])
def test_ssh_asks_nobody_and_gives_up_unless_the_user_says_how_it_is_called(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    said = tmp_path / "said"
    (tmp_path / "bin").mkdir()
    for name in ("ssh", "mine"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {said}\nexit 1\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    if chosen.startswith("GIT"):
        monkeypatch.setenv(chosen, "mine")
    elif chosen:
        (tmp_path / "gitconfig").write_text("[core]\nsshCommand = mine\n")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))

    with pytest.raises(GitFailed):
        repository.checkout(with_submodule(repository, "ssh://localhost/lib"))

    words = set(said.read_text().split())
    assert {"mine"} <= words if chosen else {"ssh", "BatchMode=yes", "ConnectTimeout=30"} <= words
    assert ("ssh" in words) is not bool(chosen)


def test_desktop_is_not_asked_for_a_password(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = tmp_path / "asker"
    asker.write_text(f"#!/bin/sh\ntouch {tmp_path / 'asked'}\n")
    asker.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(asker))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Locked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(GitFailed, match="could not read Username"):
                repository.checkout(with_submodule(repository, f"http://127.0.0.1:{server.server_port}/lib"))
        finally:
            server.shutdown()

    assert not (tmp_path / "asked").exists()


def test_no_password_in_gits_own_words(repository: Repository) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    commit = with_submodule(repository, f"http://me:secret@127.0.0.1:{port}/lib")

    with pytest.raises(GitFailed, match=f"http://127.0.0.1:{port}/lib") as failure:
        repository.checkout(commit)

    assert "secret" not in str(failure.value)


def test_repository_that_git_refuses_is_not_a_commit_that_is_missing(repository: Repository) -> None:
    (repository.path / ".git" / "config").write_text("[core\n")

    with pytest.raises(GitFailed, match="bad config line"):
        asyncio.run(repository.worktrees.resolve("HEAD"))


def with_submodule(repository: Repository, url: str) -> str:
    """A commit with a submodule that nobody has seen yet."""
    repository.commit({"app": "1", ".gitmodules": f'[submodule "lib"]\n\tpath = lib\n\turl = {url}\n'})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},lib")
    repository.git("commit", "--quiet", "--message", "submodule")
    return repository.git("rev-parse", "HEAD")


def fingerprint(repository: Repository) -> str | None:
    return asyncio.run(repository.worktrees.fingerprint(1))


def edit(path: Path) -> None:
    path.write_text("2")


def make_executable(path: Path) -> None:
    path.chmod(0o755)


def test_commit_is_described_by_its_subject_its_author_and_its_time(repository: Repository) -> None:
    repository.git("config", "log.showSignature", "true")
    repository.git("config", "i18n.logOutputEncoding", "latin-1")
    repository.git("commit", "--quiet", "--allow-empty", "--author", "Zoë <z@x.org>", "-m", "Ünder\nway\n\nBody")

    described = asyncio.run(repository.worktrees.describe(repository.git("rev-parse", "HEAD")))

    assert described[:2] == ("Ünder way", "Zoë")
    assert datetime.fromisoformat(described.committed_at).tzinfo
    with pytest.raises(GitFailed):
        asyncio.run(repository.worktrees.describe("0" * 40))
