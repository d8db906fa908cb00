"""The unit that `edge install` writes, under a real systemd."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.ports import free_port
from spec.waiting import wait_until

from slot_machine.cli.service.edge_unit import NAME
from tests.machine import Machine, obstacle
from tests.users import PACKAGES, PYTHON

TRAEFIK = Path(sys.executable).with_name("traefik")
PROGRAM = f"#!{PYTHON}\nfrom slot_machine.__main__ import main\nmain()\n"

pytestmark = [
    pytest.mark.skipif(bool(found := obstacle()), reason=found),
    pytest.mark.skipif(not TRAEFIK.exists(), reason="there is no Traefik: `make test-edge` installs it"),
]


def packages() -> str:
    """Where PYTHON finds those that were installed by hand."""
    return subprocess.check_output([PYTHON, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        machine = Machine(Path(folder))
        machine.write("/usr/local/bin/slot-machine", PROGRAM, 0o755)
        machine.write("/usr/local/bin/traefik", f'#!/bin/sh\nexec {TRAEFIK} "$@"\n', 0o755)
        machine.write(f"{packages()}/slot-machine.pth", "\n".join(PACKAGES))
        try:
            machine.boot()
            yield machine
        finally:
            machine.close()


def test_the_edge_as_a_service(machine: Machine) -> None:
    ports = {"http_port": free_port(), "https_port": free_port()}
    settings = json.dumps({"state": "/srv/edge", **ports})
    machine.run("sh", "-c", f"mkdir -p /srv/etc && echo '{settings}' > /srv/etc/edge.json")
    wrote = machine.run("slot-machine", "edge", "install", "--config", "/srv/etc/edge.json").stdout
    assert wrote.startswith(f"wrote /etc/systemd/system/{NAME}, with Traefik 3.")

    def status() -> str:
        return machine.run("slot-machine", "edge", "status", check=False).stdout

    def pid() -> str:
        return machine.run("systemctl", "show", "--property", "MainPID", "--value", NAME).stdout.strip()

    wait_until("the edge serves", lambda: "no app has domains here" in status())
    before = pid()

    def traefik() -> str:
        return machine.run("pgrep", "-n", "-P", before, "traefik").stdout

    old = traefik()
    machine.run("systemctl", "reload", NAME)
    assert (pid(), traefik() != old) == (before, True)
    machine.run("sh", "-c", f"echo '{settings[:-1]}, \"bnid\": 1}}' > /srv/etc/edge.json")
    assert machine.run("systemctl", "reload", NAME, check=False).returncode == 1
    machine.run("sh", "-c", f"echo '{settings}' > /srv/etc/edge.json")
    assert (pid(), machine.run("systemctl", "is-active", NAME).stdout) == (before, "active\n")
    machine.run("kill", "-KILL", before)
    wait_until("systemd has started it again", lambda: pid() not in ("0", before) and "serves" in status())
    machine.run("systemctl", "stop", NAME)
    assert status() == ""


def test_an_edge_that_can_not_start_fails_its_installation(machine: Machine) -> None:
    with socket.create_server(("", 0)) as other:
        settings = json.dumps({"state": "/srv/edge", "http_port": other.getsockname()[1], "https_port": free_port()})
        machine.run("sh", "-c", f"mkdir -p /srv/etc && echo '{settings}' > /srv/etc/edge.json")
        done = machine.run("slot-machine", "edge", "install", "--config", "/srv/etc/edge.json", check=False)
        assert done.returncode == 1
        assert "the edge does not start" in done.stderr
        assert f"journalctl -u {NAME}" in done.stderr
        machine.run("systemctl", "disable", "--now", NAME)


def test_a_user_of_its_own_takes_over_what_root_had(machine: Machine) -> None:
    state, ports = "/var/lib/slot-machine-edge", {"http_port": free_port(), "https_port": free_port()}
    machine.run("sh", "-c", f"mkdir -p /etc/slot-machine && echo '{json.dumps(ports)}' > /etc/slot-machine/edge.json")
    machine.run("sh", "-c", f"mkdir -m 700 {state} && umask 077 && printf {'7' * 48} > {state}/token")
    installed = machine.run("slot-machine", "edge", "install")
    assert "as root" not in installed.stderr

    def users() -> list[str]:
        main = machine.run("systemctl", "show", "--property", "MainPID", "--value", NAME).stdout.strip()
        return machine.run("ps", "-o", "uid=", "--pid", main, "--ppid", main).stdout.split()

    edge, traefik = users()
    assert edge == traefik != "0"
    assert machine.run("stat", "-L", "-c", "%u %a", state, f"{state}/token").stdout.splitlines() == [
        f"{edge} 700",
        f"{edge} 600",
    ]
    assert machine.run("cat", f"{state}/token").stdout == "7" * 48
    machine.run("systemctl", "reload", NAME)
    assert "no app has domains here" in machine.run("slot-machine", "edge", "status").stdout
    machine.run("slot-machine", "edge", "install")
    machine.run("systemctl", "restart", NAME)
    assert "no app has domains here" in machine.run("slot-machine", "edge", "status").stdout


def test_what_others_can_not_read_runs_as_root(machine: Machine) -> None:
    ports = {"http_port": free_port(), "https_port": free_port()}
    machine.run(
        "sh", "-c", f"mkdir -m 700 /etc/slot-machine && echo '{json.dumps(ports)}' > /etc/slot-machine/edge.json"
    )
    installed = machine.run("slot-machine", "edge", "install")
    assert "it runs as root, not as a user of its own: another user can't run /usr/local/bin/slot-machine" in (
        installed.stderr
    )
    assert "no app has domains here" in machine.run("slot-machine", "edge", "status").stdout
