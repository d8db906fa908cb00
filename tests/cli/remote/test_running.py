"""A command on several servers."""

import json
from pathlib import Path

import pytest

from tests.servers import Servers

Output = pytest.CaptureFixture[str]

EACH = ("--host", "x", "--host", "y", "--host", "z")


def test_all_or_nothing_is_for_several_servers(servers: Servers) -> None:
    assert servers.run("deploy", "--all-or-nothing") == 2


def test_questions_go_to_all_servers_and_the_worst_exit_code_counts(servers: Servers, capfd: Output) -> None:
    servers.add("x", 'echo "{\\"x\\": 1}"; exit 3')
    servers.refuse("y", "Connection refused")
    servers.add("z", 'echo "{\\"z\\": 1}"')

    assert servers.run(*EACH, "status") == 3
    assert capfd.readouterr().out == '== x\n{"x": 1}\n\n== y\n\n== z\n{"z": 1}\n'
    assert servers.run(*EACH, "status", "--json") == 3
    document = json.loads(capfd.readouterr().out)
    assert document["success"] is False
    assert [(one["host"], one["exit_code"]) for one in document["hosts"]] == [("x", 3), ("y", 1), ("z", 0)]
    assert document["hosts"][2]["reply"] == {"z": 1}
    assert document["hosts"][1]["reply"]["error"].startswith("cannot connect to y")


def test_server_comes_before_the_cluster_of_the_local_file(servers: Servers, capfd: Output) -> None:
    Path("slot-machine.json").write_text('{"start_command": "x", "engine": {"kind": "swarm"}}')
    servers.add("x", "echo from the server")

    assert servers.run("--host", "x", "status") == 0
    assert servers.run("stats", "--host", "x") == 0
    assert capfd.readouterr().out == "from the server\nfrom the server\n"


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_change_that_fails_ends_with_its_server(json_too: tuple[str, ...], servers: Servers, capfd: Output) -> None:
    servers.add("x", 'echo "{\\"success\\": false}"; exit 1')
    servers.add("y", "exit 0")

    assert servers.run(*EACH[:4], "rollback", *json_too) == 1
    out, err = capfd.readouterr()
    assert servers.asked("y") == []
    assert "not begun: y" in err or json.loads(out)["hosts"][1] == {"host": "y", "exit_code": None, "reply": None}


@pytest.mark.parametrize("command", ["run ls", "logs -f", "top", "status --watch", "logs --json"])
def test_command_for_one_server(command: str, servers: Servers) -> None:
    assert servers.run(*f"--host x --host y {command}".split()) == 2
    assert servers.calls() == []
