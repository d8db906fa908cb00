"""The command line, as far as the black-box suite leaves it open."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest
from spec.orchestrator import environment
from spec.ports import free_port

from slot_machine import SPEC_VERSION, __version__
from slot_machine.cli.client import Client
from slot_machine.core.errors import Unreachable
from slot_machine.host import registry
from tests.shown import on_terminal
from tests.system.fake_daemon import RELOADING, daemon_that_says
from tests.world import Site

NOT_HEALTHY = 3
ROOT = Path(__file__).parents[2]


def test_version_tells_that_of_the_spec(site: Site) -> None:
    assert (ROOT / "spec" / "VERSION").read_text().strip() == SPEC_VERSION
    assert site.run("version").stdout == f"slot-machine {__version__} (spec {SPEC_VERSION})\n"


def test_deploy_in_a_pipe_shows_plain_lines_and_status_what_is_live(site: Site) -> None:
    site.start(setup_command="echo installing")
    commit = site.commit("v1")

    done = site.run("deploy")

    assert (done.returncode, done.stdout) == (0, f"deployed {commit} to slot a\n")
    stages = [line.split()[0] for line in done.stderr.splitlines() if not line.startswith("  |")]
    assert stages == ["resolve", "checkout", "setup", "start", "health", "switch", "drain"]
    assert "  | installing" in done.stderr
    assert "\x1b" not in done.stderr
    status = site.run("status")
    lines = dict(re.split("  +", line, maxsplit=1) for line in status.stdout.splitlines() if "  " in line.strip())
    assert status.returncode == 0
    assert (lines["live"], lines["health"], lines["slot"][:1]) == (f"{commit[:8]} v1", "healthy", "a")
    maps = Path(f"/proc/{site.daemons[-1].process.pid}/maps").read_text()
    assert "/_ssl." not in maps, "the daemon speaks no TLS, so it spends no memory on it"


def test_deploy_on_a_terminal_shows_what_runs(site: Site) -> None:
    site.start(setup_command="echo installing [bold]")
    site.commit("v1")
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        [site.orchestrator.binary, "deploy"], cwd=site.repo, env=environment(), stderr=theirs
    ) as client:
        os.close(theirs)
        shown = b""
        while chunk := read(terminal):
            shown += chunk
    os.close(terminal)

    assert client.returncode == 0
    assert "installing [bold]" in shown.decode()
    assert re.search(r"repo\S*\r\n", shown.decode()), "the app's name"
    assert "✓" in shown.decode()


def read(terminal: int) -> bytes:
    """The end of a terminal is an error on Linux."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_failed_deploy_says_why_and_leaves_nothing_to_roll_back_to(site: Site) -> None:
    site.start()
    site.commit("bad", exit=3)

    done = site.run("deploy")

    assert (done.returncode, done.stdout) == (1, "")
    assert "error: health: the app exited while it booted: exit code 3" in done.stderr
    assert "  | something is missing" in done.stderr
    back = site.run("rollback")
    assert (back.returncode, back.stdout) == (1, "")
    assert "no previous version" in back.stderr


def test_commit_is_understood_as_the_current_folder_does(site: Site) -> None:
    site.start()
    first = site.commit("v1")
    site.commit("v2")
    below = site.repo / "below"
    below.mkdir()

    done = site.orchestrator.run("deploy", "HEAD~1", cwd=below)

    assert done.stdout == f"deployed {first} to slot a\n"


def test_option_is_no_commit(site: Site) -> None:
    site.start()
    site.commit("v1")

    done = site.run("deploy", "--", "--all")

    assert site.run("deploy", "").returncode == 1
    assert done.returncode == 1
    assert "is not a commit" in done.stderr
    assert "hint:" in done.stderr


def test_unknown_fields_are_warned_of_and_wrong_ones_refused(site: Site) -> None:
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"helth_endpoint": "/"}))
    assert "did you mean 'health_endpoint'" in site.run("start", "--check").stderr

    (site.repo / "other.json").write_text(json.dumps(site.config | {"port": "x"}))
    refused = site.run("start", "--config", "other.json")

    assert refused.returncode == 1
    assert "error: other.json: port: expected `int`, got `str`" in refused.stderr


def test_start_outside_a_repository(site: Site, tmp_path: Path) -> None:
    (tmp_path / "slot-machine.json").write_text(json.dumps(site.config))

    refused = site.orchestrator.run("start", cwd=tmp_path)

    assert refused.returncode == 1
    assert "not a git repository" in refused.stderr


def test_start_on_a_port_that_is_taken(site: Site) -> None:
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))
    with socket.create_server(("", site.port)):
        refused = site.run("start")

    assert refused.returncode == 1
    assert f"cannot listen on port {site.port}" in refused.stderr


def test_replace_needs_the_proxy(site: Site) -> None:
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"strategy": "replace"}))

    refused = site.run("start", "--no-proxy")

    assert refused.returncode == 1
    assert "needs the proxy" in refused.stderr


def test_api_port_that_was_changed_under_a_running_daemon(site: Site) -> None:
    site.start()
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"api_port": free_port()}))

    assert site.run("status").returncode == NOT_HEALTHY
    assert "a reload can't change api_port" in site.run("reload").stderr


def test_api_port_that_was_changed_under_a_running_daemon_without_a_socket(site: Site) -> None:
    daemon = site.start()
    (site.data / "api.sock").unlink()
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"api_port": free_port()}))

    assert site.run("status").returncode == NOT_HEALTHY, "the registry has its port"
    for entry in registry.running():
        if entry.data == str(site.data):
            registry.withdraw(entry)
    for command in ("reload", "status", "deploy", "rollback", "cancel"):
        done = site.run(command)

        assert done.returncode == 1
        assert "cannot reach" in done.stderr
        assert f"the daemon with pid {daemon.process.pid} still listens on {site.api_port}" in done.stderr
        assert "hint: a reload can't change api_port: stop the daemon and start it again" in done.stderr
    daemon.stop()
    assert "hint: run `slot-machine start` first" in site.run("status").stderr


@pytest.mark.parametrize("command", ["status", "init", "deploy", "rollback"])
def test_folder_that_was_removed_is_no_place_for_a_command(site: Site, tmp_path: Path, command: str) -> None:
    (tmp_path / "gone").mkdir()
    shell = ("sh", "-c", f"rmdir ../gone; exec '{site.orchestrator.binary}' {command}")
    done = subprocess.run(shell, cwd=tmp_path / "gone", capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr == "error: the current folder was removed\nhint: go to another one, such as by `cd`\n"


@pytest.mark.parametrize("option", ["--api-port", "--port"])
def test_option_for_the_port_of_the_api(site: Site, option: str) -> None:
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))

    shown = json.loads(site.run("start", "--check", option, "1234").stdout)

    assert (shown["api_port"], shown["port"]) == (1234, site.port)
    assert "is also the app's port" in site.run("start", "--check", option, str(site.port)).stderr


def test_where_there_is_no_configuration_the_folder_of_one_is_asked_for(tmp_path: Path) -> None:
    start = "run `slot-machine start` first"
    hints = {
        str(tmp_path): start,
        "": f"{start}; if it runs, go to the folder of its slot-machine.json: there is none here",
    }
    for data, hint in hints.items():
        with pytest.raises(Unreachable) as refused:
            Client(free_port(), data).status()
        assert refused.value.hint == hint


def test_root_is_named_once_to_whoever_may_not_use_its_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> NoReturn:
        raise PermissionError

    monkeypatch.setattr("slot_machine.cli.link._connected_to", denied)
    with pytest.raises(Unreachable) as refused:
        Client(free_port(), "/").status()
    assert refused.value.hint == "run this command as root"


def test_daemon_that_is_gone_before_it_replies(site: Site) -> None:
    with daemon_that_says(site, ""):
        done = site.run("rollback")

    assert done.returncode == 1
    assert "cannot reach" in done.stderr
    assert "the daemon ended before it replied" in done.stderr


def test_status_is_asked_again_of_a_daemon_that_reloads(site: Site) -> None:
    with daemon_that_says(site, "", '{"live_slot": "a", "healthy": true}'):
        status = site.run("status", "--json")
    assert (status.returncode, json.loads(status.stdout)) == (0, {"live_slot": "a", "healthy": True})


def test_a_daemon_of_an_earlier_release_is_not_asked_to_hold(site: Site) -> None:
    """It would let the version go live."""
    site.commit("v1")
    for option in ("--hold", "--hold-after-release"):
        with daemon_that_says(site, '{"live_slot": "a", "version": "0.1.0"}'):
            refused = site.run("deploy", option, "--json")
        told = json.loads(refused.stdout)
        assert (refused.returncode, told["error"]) == (
            1,
            "the daemon runs slot-machine 0.1.0, which can't hold a version",
        )
        assert "slot-machine reload" in told["hint"]


def test_json_is_one_document_on_every_path(site: Site) -> None:
    """Also where stdout is a terminal."""
    commands = (["status"], ["history"], ["show"], ["show", "99"])
    for refused in [site.run(*command, "--json") for command in (*commands, ["status", "--nonsense"])]:
        assert refused.returncode == (2 if "nonsense" in refused.stdout else 1)
        assert json.loads(refused.stdout)["success"] is False
        assert refused.stderr == ""
    site.start()
    nothing_live = site.run("status", "--json")
    assert (nothing_live.returncode, json.loads(nothing_live.stdout)) == (NOT_HEALTHY, site.status())
    assert site.run("history", "--json").stdout == "[]\n"
    assert json.loads(site.run("show", "99", "--json").stdout)["error"] == "the history has no entry 99"
    site.commit("v1")
    assert site.run("deploy").returncode == 0
    for command in commands[:3]:
        code, got = on_terminal(site.orchestrator.binary, *command, "--json", cwd=site.repo)
        assert code == 0
        assert json.loads(got)


def test_another_program_that_answers_in_json_on_the_port(site: Site) -> None:
    commands = (["status"], ["deploy"], ["history"], ["show"], ["run", "true"], ["notify", "test"])
    site.commit("v1")
    with daemon_that_says(site, *['{"detail": "Not Found"}'] * len(commands)):
        refused = [site.run(*command) for command in commands]

    assert {done.returncode for done in refused} == {1}
    assert all("is not slot-machine" in done.stderr for done in refused)


def test_reload_that_is_followed_by_another(site: Site) -> None:
    """It refuses what comes meanwhile, and cuts off whoever waits to hear of the first."""
    before = '{"live_slot": "", "reloads": 0}'
    with daemon_that_says(site, before, RELOADING, '{"success": true}', "", before.replace("0", "2")):
        done = site.run("reload")

    assert (done.returncode, done.stdout) == (0, "reloaded\n"), done.stderr


def test_watch_shows_the_status_again_until_it_is_interrupted(site: Site) -> None:
    site.start()
    argv = (site.orchestrator.binary, "status", "--watch")
    with subprocess.Popen(
        argv, cwd=site.repo, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as shown:
        assert shown.stdout
        assert shown.stderr
        first = shown.stdout.readline()
        shown.send_signal(signal.SIGINT)
        assert (shown.wait(20), shown.stderr.read()) == (130, b"")
    assert first.startswith(b"app ")
    assert site.run("status", "--watch", "--json").returncode == 2
