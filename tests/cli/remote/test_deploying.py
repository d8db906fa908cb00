"""`deploy` on servers: what is pushed, what each server is told, and what becomes of a failure."""

import json
import shutil
from pathlib import Path

import pytest

from slot_machine.cli import who
from tests.repository import Repository
from tests.servers import FAILS, Servers, copy, head

Output = pytest.CaptureFixture[str]


def refs(servers: Servers, host: str) -> list[str]:
    folder = servers.folder / host / "repo.git"
    names = (path for path in (folder / "refs").rglob("*") if path.is_file())
    return sorted(str(name.relative_to(folder)) for name in names)


def test_commit_that_the_server_lacks_is_pushed_to_no_branch(
    repository: Repository, servers: Servers, capfd: Output
) -> None:
    commit = head(repository)

    assert servers.run("--host", "x", "deploy") == 0
    out, err = capfd.readouterr()
    assert out == f"deployed {commit} to slot a\n"
    assert err.startswith(f"pushing {commit[:8]} to x\n")
    assert refs(servers, "x") == [f"refs/slot-machine-pushed/{commit}"]
    words = f"[--json][--stream][--if-known][--by={who.who()}][--ref=main][--][{commit}]"
    assert servers.asked("x") == [f"[deploy]{words}", "[status][--json]", f"[deploy]{words}"]


def test_commit_that_the_server_has_is_not_pushed(repository: Repository, servers: Servers, capfd: Output) -> None:
    copy(repository, servers, "x")

    assert servers.run("--host", "x", "deploy") == 0
    assert refs(servers, "x") == ["refs/heads/main"]
    assert len(servers.asked("x")) == 1
    assert "start        1.50 s  here" in capfd.readouterr().err


def test_daemon_that_does_not_say_what_it_lacks(repository: Repository, servers: Servers) -> None:
    """It was not reloaded since the upgrade."""
    (servers.folder / "x" / "lacks").write_text('{"success": false, "stage": "resolve", "error": "no commit"}\n')

    assert servers.run("--host", "x", "deploy") == 0
    assert refs(servers, "x") == [f"refs/slot-machine-pushed/{head(repository)}"]


@pytest.mark.usefixtures("repository")
def test_push_uses_the_same_connection(servers: Servers) -> None:
    assert servers.run("--host", "me@x", "deploy") == 0
    paths = {word for call in servers.calls() for word in call.split() if word.startswith("ControlPath=")}
    assert len(paths) == 1
    assert any("git-receive-pack" in call for call in servers.calls())


def test_branch_tag_and_hash_are_found_here(repository: Repository, servers: Servers) -> None:
    first = head(repository)
    repository.git("tag", "v1")
    repository.commit({"app": "two"})
    copy(repository, servers, "x")

    for ref in ("v1", first[:10], first):
        assert servers.run("--host", "x", "deploy", ref, "--by", "anna", "-m", "why", "--wait", "-q") == 0
        assert servers.asked("x")[-1] == (
            f"[deploy][--wait][--message=why][--json][--stream][--if-known][--by=anna][--ref={ref}][--][{first}]"
        )


def test_app_that_is_named_does_not_change_where_the_commit_is_found(repository: Repository, servers: Servers) -> None:
    copy(repository, servers, "x")

    assert servers.run("--host", "x", "-a", "shop", "deploy") == 0
    assert servers.asked("x")[0].startswith("[-a][shop][deploy]")
    assert servers.asked("x")[0].endswith(f"[{head(repository)}]")


@pytest.mark.usefixtures("repository")
def test_no_commit_here(servers: Servers, capfd: Output) -> None:
    assert servers.run("--host", "x", "deploy", "nothing") == 1
    assert "'nothing' is not a commit in" in capfd.readouterr().err
    assert servers.asked("x") == []


def test_outside_of_a_repository_the_commit_must_be_named(
    servers: Servers, repository: Repository, monkeypatch: pytest.MonkeyPatch, capfd: Output, tmp_path: Path
) -> None:
    copy(repository, servers, "x")
    monkeypatch.chdir(tmp_path)

    assert servers.run("--host", "x", "deploy") == 1
    assert "there is no git repository here" in capfd.readouterr().err
    assert servers.run("--host", "x", "deploy", "main") == 0
    assert servers.asked("x")[-1].endswith("[--][main]")


@pytest.mark.usefixtures("repository")
def test_hash_that_neither_side_has(servers: Servers, capfd: Output) -> None:
    assert servers.run("--host", "x", "deploy", "1" * 40) == 1
    assert "error: resolve: no commit" in capfd.readouterr().err
    assert len(servers.asked("x")) == 1


def test_changes_that_are_not_committed_are_told(repository: Repository, servers: Servers, capfd: Output) -> None:
    copy(repository, servers, "x")
    (repository.path / "new").touch()

    assert servers.run("--host", "x", "-a", "shop", "deploy", "--json") == 0
    out, err = capfd.readouterr()
    assert "warning: not committed, so not deployed: new" in err
    assert json.loads(out)["warnings"] == ["not committed, so not deployed: new"]


def test_push_that_fails_deploys_nothing(repository: Repository, servers: Servers, capfd: Output) -> None:
    shutil.rmtree(servers.folder / "x" / "repo.git")

    assert servers.run("--host", "x", "deploy") == 1
    err = capfd.readouterr().err
    assert f"error: cannot push {head(repository)[:8]} to " in err
    assert "belongs to deploy: connect as that user" in err


def test_shallow_clone_says_what_to_fetch(
    repository: Repository, servers: Servers, monkeypatch: pytest.MonkeyPatch, capfd: Output, tmp_path: Path
) -> None:
    repository.commit({"app": "two"})
    repository.git("clone", "--quiet", "--depth", "1", f"file://{repository.path}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")

    assert servers.run("--host", "x", "deploy") == 1
    assert "fetch-depth: 0" in capfd.readouterr().err
    assert refs(servers, "x") == []


@pytest.mark.usefixtures("repository")
def test_root_pushes_as_the_owner_of_the_repository(servers: Servers) -> None:
    (servers.folder / "config").write_text("host x\nuser root\n")
    program = servers.folder / "x" / "bin" / "runuser"
    program.write_text('#!/bin/sh\necho "$1 $2 $3" > runuser; shift 3; exec "$@"\n')
    program.chmod(0o755)

    assert servers.run("--host", "root@x", "deploy") == 0
    assert (servers.folder / "x" / "runuser").read_text() == "-u deploy --\n"


def test_reply_is_one_document(repository: Repository, servers: Servers, capfd: Output) -> None:
    copy(repository, servers, "x")

    assert servers.run("--host", "x", "deploy", "--json", "--quiet") == 0
    out, err = capfd.readouterr()
    assert (json.loads(out)["commit"], err) == (head(repository), "")
    assert servers.run("--host", "x", "deploy", "--json", "--stream") == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [event.get("event") for event in events] == ["started", "finished", None]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_failure_is_that_of_the_server(
    json_too: tuple[str, ...],
    servers: Servers,
    capfd: Output,
) -> None:
    (servers.folder / "x" / "fails").write_text(FAILS)

    assert servers.run("--host", "x", "deploy", *json_too) == 1
    out, err = capfd.readouterr()
    assert "error: health: no answer\nhint: look\n" in err or json.loads(out)["stage"] == "health"


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("script", "says"),
    [
        (
            'echo \'{"success": false, "error": "no such option: --if-known"}\'; exit 2',
            "did not understand this: no such",
        ),
        ("exit 2", "did not understand this"),
        ("exit 1", "ended with exit code 1 and gave no answer"),
        ('echo \'{"event": "started", "stage": "s", "message": "", "seconds": 0}\'; exit 0', "exit code 0"),
        (
            'echo \'{"success": false, "error": "no running daemon is called shop", "hint": "h"}\'; exit 1',
            "is called shop",
        ),
        (
            "echo '{\"success\": false, \"lacks_commit\": true}'; test $2 = --json && echo '{}'; exit 1",
            "where the repository is",
        ),
    ],
)
def test_server_that_does_not_answer_as_it_should(
    script: str,
    says: str,
    servers: Servers,
    capfd: Output,
) -> None:
    servers.add("w", script)

    assert servers.run("--host", "w", "deploy") == 1
    assert says in capfd.readouterr().err


def test_line_of_a_start_up_file_does_no_harm(repository: Repository, servers: Servers, capfd: Output) -> None:
    copy(repository, servers, "x")
    servers.add("w", "echo Welcome; cd ../x && exec slot-machine")
    (servers.folder / "w" / "bin" / "slot-machine").write_text(
        '#!/bin/sh\necho Welcome\ncd ../x && exec bin/slot-machine "$@"\n'
    )

    assert servers.run("--host", "w", "deploy") == 0
    out, err = capfd.readouterr()
    assert out == f"deployed {head(repository)} to slot a\n"
    assert "Welcome" in err


@pytest.mark.usefixtures("repository")
def test_under_sudo_git_is_not_called(
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Output,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_UID", "1000")

    assert servers.run("--host", "x", "deploy") == 1
    assert "run it without sudo" in capfd.readouterr().err
