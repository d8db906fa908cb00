"""Which servers `--to` means."""

import json
from pathlib import Path

import pytest

from tests.servers import Servers

Output = pytest.CaptureFixture[str]


def test_own_file_comes_before_that_of_the_project(servers: Servers, tmp_path: Path) -> None:
    for host in ("mine", "theirs", "staging"):
        servers.add(host, "exit 0")
    project = {"start_command": "x", "hosts": {"production": "theirs", "staging": {"host": "staging", "app": "shop"}}}
    Path("slot-machine.json").write_text(json.dumps(project))
    (tmp_path / "config" / "slot-machine").mkdir(parents=True)
    (tmp_path / "config" / "slot-machine" / "hosts.json").write_text('{"hosts": {"production": "mine"}}')

    assert servers.run("status", "--to", "production") == 0
    assert servers.run("--to", "staging", "status") == 0
    assert servers.asked("theirs") == []
    assert servers.asked("mine") == ["[status]"]
    assert servers.run("--to", "staging", "version") == 0
    assert servers.run("--to", "staging", "-a", "other", "history") == 0
    assert servers.asked("staging") == ["[-a][shop][status]", "[version]", "[-a][other][history]"]


def test_program_is_called_by_its_path(servers: Servers) -> None:
    servers.add("x", "exit 0")
    (servers.folder / "x" / "bin").rename(servers.folder / "x" / "its programs")
    server = {"host": "x", "program": str(servers.folder / "x" / "its programs" / "slot-machine")}
    Path("slot-machine.json").write_text(json.dumps({"hosts": {"production": server}}))

    assert servers.run("status", "--to", "production") == 0
    assert servers.asked("x") == ["[status]"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "no stage is called 'production'"),
        ('{"hosts": {"staging": "x"}}', "there are: staging"),
        ('{"hosts": {"production": []}}', "length >= 1"),
        ('{"hosts": {"production": {"hosst": "x"}}}', "hosst"),
        ('{"hosts": {"production": {"host": "x", "program": "-x/slot-machine"}}}', "is no absolute path"),
        ('{"hosts": {"production": {"host": "x", "program": "/sbin/reboot"}}}', "is no absolute path"),
        ("[", "is not a JSON object"),
    ],
)
def test_file_that_names_no_server(text: str, says: str, servers: Servers, capfd: Output) -> None:
    Path("slot-machine.json").write_text(text)

    assert servers.run("status", "--to", "production") == 1
    assert says in capfd.readouterr().err


def test_host_and_stage_at_once_are_wrong_usage(servers: Servers) -> None:
    assert servers.run("--host", "x", "status", "--to", "production") == 2
