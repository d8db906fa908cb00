"""A reload of the edge: new code, new settings and a new Traefik, and nobody loses a request or a WebSocket."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from slot_machine.edge import link
from slot_machine.edge.wire import Request
from tests.https.conftest import COMMAND, LIMIT_S, Edge, Process, until
from tests.https.visitors import Load, get, trusting

Start = Callable[..., Edge]
App = Callable[[int], Process]
FAKE = f"""#!/bin/sh
if [ "$1" = version ]; then echo "Version: 9.0.0"; exit; fi
if [ -e {{broken}} ]; then exit 1; fi
exec {Path(sys.executable).with_name("traefik")} "$@"
"""


@pytest.fixture
def edge(start_edge: Start, app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edge:
    """Its Traefik can be made to end at once, by a file."""
    traefik = tmp_path / "bin/traefik"
    traefik.parent.mkdir()
    traefik.write_text(FAKE.format(broken=tmp_path / "broken"))
    traefik.chmod(0o755)
    monkeypatch.setenv("PATH", f"{traefik.parent}:{os.environ['PATH']}")
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    return edge


def reload() -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, "edge", "upgrade"], capture_output=True, text=True, check=False, timeout=LIMIT_S)


def settle(edge: Edge, **fields: object) -> None:
    edge.file.write_text(json.dumps(json.loads(edge.file.read_text()) | fields))


def traefiks(edge: Edge) -> list[str]:
    command = ["pgrep", "-P", str(edge.service.process.pid), "traefik"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


def test_nobody_loses_a_request_or_a_websocket(edge: Edge) -> None:
    before, pid = edge.traefik, edge.service.process.pid
    with (
        Load(edge, "shop.test").running() as load,
        connect("wss://shop.test/", ssl=trusting(edge)) as first,
    ):
        done = reload()
        assert (done.returncode, done.stdout) == (0, "Traefik 9.0.0 serves\n"), done.stderr
        assert "connections, such as WebSockets, stay with the replaced one" in done.stderr
        second = edge.traefik
        assert second != before
        with connect("wss://shop.test/", ssl=trusting(edge)) as other:
            assert reload().returncode == 0
            assert edge.traefik not in (before, second)
            assert len(traefiks(edge)) == 3
            for each in (first, other):
                each.send("still here")
                assert each.recv(5) == "still here"
        until(lambda: len(traefiks(edge)) == 2)
    assert (load.failed, load.closed <= 2) == ([], True)
    assert (edge.service.process.poll(), edge.service.process.pid) == (None, pid)
    assert edge.domain("shop.test").state == "valid"
    until(lambda: len(traefiks(edge)) == 1)


def test_new_settings_hold(edge: Edge) -> None:
    forwarded = ("-H", "X-Forwarded-For: 203.0.113.9")
    assert "203.0.113.9" not in get(edge, "https://shop.test/", *forwarded).stdout
    settle(edge, trusted_proxies=["127.0.0.0/8"])
    assert reload().returncode == 0
    assert "X-Forwarded-For: 203.0.113.9, 127.0.0.1\n" in get(edge, "https://shop.test/", *forwarded).stdout
    assert link.ask(Request(op="status")).trusted_proxies == ("127.0.0.0/8",)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"bnid": ""}, "edge.json: unknown field 'bnid'"),
        ({"https_port": 8443}, "a reload can't change https_port (443 to 8443)"),
        ({"state": "elsewhere"}, "a reload can't change state"),
    ],
)
def test_settings_that_can_not_be_used_change_nothing(edge: Edge, fields: dict[str, object], why: str) -> None:
    before = edge.traefik
    settle(edge, **fields)
    done = reload()
    assert (done.returncode, f"nothing was reloaded: {why}" in done.stderr) == (1, True), done.stderr
    assert edge.traefik == before
    edge.hold("blog", 3000, "blog.test", tls="internal")
    assert "received" in get(edge, "https://blog.test/").stdout


def test_a_traefik_that_does_not_start_leaves_the_old_one(edge: Edge, tmp_path: Path) -> None:
    before = edge.traefik
    with connect("wss://shop.test/", ssl=trusting(edge)) as talk:
        (tmp_path / "broken").touch()
        done = reload()
        assert (done.returncode, "the new Traefik was ended: " in done.stderr) == (1, True), done.stderr
        assert edge.traefik == before
        talk.send("still here")
        assert talk.recv(5) == "still here"
        assert "received" in get(edge, "https://shop.test/").stdout
        (tmp_path / "broken").unlink()
        edge.hold("blog", 3000, "blog.test", tls="internal")
        assert edge.traefik == before
    assert reload().returncode == 0
    assert edge.traefik != before


def test_traefiks_of_an_earlier_image_end_with_the_edge(edge: Edge) -> None:
    with connect("wss://shop.test/", ssl=trusting(edge)) as talk:
        assert talk
        assert reload().returncode == 0
        taken_over = [int(pid) for pid in traefiks(edge)]
        assert len(taken_over) == 2
        os.kill(edge.traefik, signal.SIGKILL)
        until(lambda: "received" in get(edge, "https://shop.test/").stdout)
        edge.stop(kill=True)
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in taken_over))
    with socket.socket() as port:
        until(lambda: port.connect_ex(("127.0.0.1", 443)))
