"""`--host` and `--to`: what each server is told, and what comes back."""

import json
import os
from pathlib import Path

import click
import pytest

from slot_machine.cli.main import commands
from slot_machine.cli.remote import ssh
from tests.servers import Servers

Output = pytest.CaptureFixture[str]


WORDS = {
    "status --host x": "[status]",
    "--host x status --json": "[status][--json]",
    "--host me@x status -a shop": "[-a][shop][status]",
    "-a shop --host x status": "[-a][shop][status]",
    "--host x -a shop logs --process web -n 5 --since 10m": "[-a][shop][logs][--lines=5][--since=10m][--process=web]",
    "logs --host=x --process --to": "[logs][--process=--to]",
    "--host x rollback -m --force -- -1": "[rollback][--message=--force][--][-1]",
    "--host x run --previous ls -- --to y": "[run][--previous][--][ls][--][--to][y]",
    "run --host x -- ls --host y": "[run][--][ls][--host][y]",
    "env --host x set A=1 --no-restart": "[env][set][--no-restart][--][A=1]",
    "env set --host x A=1": "[env][set][--][A=1]",
    "--host x history -n 3": "[history][--number=3]",
    "--host x version": "[version]",
}


@pytest.mark.parametrize("given", WORDS)
def test_server_is_told_the_same_command(given: str, servers: Servers) -> None:
    servers.add("x", "exit 0")

    assert servers.run(*given.split()) == 0
    assert servers.asked("x") == [WORDS[given]]


@pytest.mark.parametrize(
    "word", ["", "a b", "it's", 'a"b', "back\\slash\\\\", "$HOME `id` $(id)", "*", "a;b", "--", "-oProxyCommand=x", "!"]
)
def test_word_gets_there_unchanged(word: str, servers: Servers) -> None:
    servers.add("x", "exit 0")

    assert servers.run("--host", "x", "run", "--", "echo", word) == 0
    assert servers.asked("x") == [f"[run][--][echo][{word}]"]


def test_backslash_stands_where_fish_takes_it_as_it_is() -> None:
    assert ssh.quoted(["a\\b"]) == """'a'"\\\\"'b'"""


def test_streams_and_exit_code_go_right_through(servers: Servers, capfd: Output) -> None:
    servers.add("x", "echo result; echo remark >&2; exit 3")

    assert servers.run("--host", "x", "status") == 3
    assert capfd.readouterr() == ("result\n", "remark\n")


def test_only_commands_that_read_get_the_input(servers: Servers, capfd: Output, tmp_path: Path) -> None:
    servers.add("x", "cat")
    (tmp_path / "input").write_text("more hosts")
    kept = os.dup(0)
    with (tmp_path / "input").open() as file:
        os.dup2(file.fileno(), 0)
    try:
        assert servers.run("--host", "x", "status") == 0
        assert capfd.readouterr().out == ""
        assert servers.run("--host", "x", "env", "set", "TOKEN") == 0
        assert capfd.readouterr().out == "more hosts"
    finally:
        os.dup2(kept, 0)
        os.close(kept)


@pytest.mark.parametrize(
    "host",
    ["-oProxyCommand=id", "ssh://-oProxyCommand=id", "x;id", "x y", "$(id)", "a@b@c", "x\n", "", "ssh://x:65536"],
)
@pytest.mark.parametrize("form", ["--host={}", "field"])
def test_hostile_name_of_a_server_is_refused(host: str, form: str, servers: Servers, capfd: Output) -> None:
    if form == "field":
        Path("slot-machine.json").write_text(json.dumps({"hosts": {"production": [host]}}))
    words = [form.format(host)] if form != "field" else ["--to", "production"]

    assert servers.run(*words, "status") == 1
    assert "is no server" in capfd.readouterr().err
    assert servers.calls() == []


SAID = {
    "ssh: connect to host x port 22: Connection refused": "no ssh server listens there",
    "ssh: connect to host x port 22: Connection timed out": "nothing answers there",
    "ssh: Could not resolve hostname x: Name or service not known": "check the name",
    "No ED25519 host key is known for x\nHost key verification failed.": "connect once by `ssh x`",
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.": "find out why",
    "x: Permission denied (publickey).": "it takes none of your keys",
    "Received disconnect from x port 22:2: Too many authentication failures": "name one key for it",
    "~/.ssh/config: line 1: Bad configuration option: hots": "`ssh x` may tell more",
    "Timeout, server x not responding.": "what the daemon has begun goes on",
}


@pytest.mark.parametrize("said", SAID)
def test_failure_of_ssh_says_what_to_do(said: str, servers: Servers, capfd: Output) -> None:
    servers.refuse("x", f"Warning: Permanently added nothing.\n{said}\n")

    assert servers.run("--host", "x", "status") == 1
    error, hint = capfd.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert said.splitlines()[-1] in error
    assert SAID[said] in hint


def test_failure_of_ssh_is_one_document(servers: Servers, capfd: Output) -> None:
    servers.refuse("x", "ssh: connect to host x port 22: Connection refused\n")

    assert servers.run("--host", "x", "status", "--json") == 1
    out = json.loads(capfd.readouterr().out)
    assert (out["success"], out["hint"]) == (False, "no ssh server listens there: check the host and the port")


def test_exit_code_255_of_a_command_is_no_failure_of_ssh(servers: Servers) -> None:
    servers.add("x", "exit 255")

    assert servers.run("--host", "x", "run", "false") == 255


def test_lost_connection_is_no_exit_code_of_a_command(servers: Servers, capfd: Output) -> None:
    servers.add("x", "exit 255")
    (servers.folder / "lost").touch()

    assert servers.run("--host", "x", "run", "false") == 1
    assert "the connection to x was lost" in capfd.readouterr().err


def test_server_without_slot_machine(servers: Servers, capfd: Output) -> None:
    (servers.folder / "x").mkdir()

    assert servers.run("--host", "x", "status") == 1
    assert "error: x has no slot-machine" in capfd.readouterr().err


def test_command_that_run_does_not_find_is_no_missing_slot_machine(servers: Servers, capfd: Output) -> None:
    servers.add("x", 'test "$1" = version || exit 127')

    assert servers.run("--host", "x", "-a", "shop", "run", "nothing") == 127
    assert servers.asked("x")[-1] == "[version]"
    assert "has no slot-machine" not in capfd.readouterr().err


def test_machine_without_ssh(servers: Servers, monkeypatch: pytest.MonkeyPatch, capfd: Output, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert servers.run("--host", "x", "status") == 1
    assert "ssh is not installed here" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["init", "start", "install", "doctor"])
def test_command_of_this_machine_takes_no_server(command: str, servers: Servers, capfd: Output) -> None:
    assert servers.run("--host", "x", command) == 2
    assert "works on this machine only" in capfd.readouterr().err
    assert servers.calls() == []


def test_variable_names_the_server_and_the_option_comes_before_it(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capfd: Output
) -> None:
    servers.add("x", "echo x")
    servers.add("y", "echo y")
    monkeypatch.setenv("SLOT_MACHINE_HOST", "x")

    assert servers.run("status") == 0
    assert servers.run("--host", "y", "status") == 0
    assert capfd.readouterr().out == "x\ny\n"
    assert servers.run("completion", "bash") == 0


def test_help_is_that_of_this_machine(servers: Servers, capfd: Output) -> None:
    assert servers.run("--host", "x", "deploy", "--help") == 0
    assert "Usage: slot-machine deploy" in capfd.readouterr().out
    assert servers.calls() == []


def test_server_of_another_version_is_named(servers: Servers, capfd: Output) -> None:
    servers.add("x", "echo 'error: no such option' >&2; exit 2")

    assert servers.run("--host", "x", "history") == 2
    assert "it may be older than" in capfd.readouterr().err


@pytest.mark.parametrize("words", ["history -n many", "deploy --stream", "rollback a b", "nothing", "logs --slot c"])
def test_wrong_usage_is_told_here(words: str, servers: Servers) -> None:
    assert servers.run("--host", "x", *words.split()) == 2
    assert servers.calls() == []


def test_host_keys_are_always_checked(servers: Servers) -> None:
    servers.add("x", "exit 0")
    servers.run("--host", "x", "status")

    (call,) = servers.calls()
    assert "StrictHostKeyChecking" not in call
    assert "UserKnownHostsFile" not in call
    assert "ServerAliveInterval=15" in call


def test_two_names_of_a_server_share_no_connection(servers: Servers) -> None:
    """They may have different keys, and a key may be restricted."""
    servers.add("x", "exit 0")
    for host in ("x", "me@x", "x"):
        servers.run("--host", host, "status")

    paths = [word for call in servers.calls() for word in call.split() if word.startswith("ControlPath=")]
    assert paths[0] == paths[2] != paths[1]


@pytest.mark.parametrize(
    ("command", "has_one"),
    [
        ("run", True),
        ("exec ls", True),
        ("top", True),
        ("logs -f", True),
        ("status --watch", True),
        ("env edit", True),
        ("top --once", False),
        ("logs", False),
        ("status", False),
    ],
)
def test_what_goes_on_has_a_terminal(
    command: str, servers: Servers, monkeypatch: pytest.MonkeyPatch, *, has_one: bool
) -> None:
    servers.add("x", "exit 0")
    monkeypatch.setattr("os.isatty", lambda _: True)

    assert servers.run("--host", "x", *command.split()) == 0
    (call,) = servers.calls()
    assert (" -t " in call, " -T " in call) == (has_one, not has_one)


@pytest.mark.usefixtures("servers")
def test_names_of_stages_are_completed(tmp_path: Path) -> None:
    (tmp_path / "project" / "slot-machine.json").write_text('{"hosts": {"production": "x", "staging": "y"}}')
    ctx = click.Context(commands)
    option = next(param for param in commands.params if param.name == "on_stage")

    assert [item.value for item in option.shell_complete(ctx, "prod")] == ["production"]
