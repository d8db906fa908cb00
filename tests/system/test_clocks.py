"""Stepping the wall clock changes no timeout and no interval."""

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.processes import kill
from tests.world import Site, serves

HOUR_S = 3600

STEPPED_CLOCK = """
import datetime, time

_time, _datetime = time.time, datetime.datetime


def _offset_s():
    with open({offset!r}) as file:
        return float(file.read() or 0)


class _Datetime(_datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)


time.time = lambda: _time() + _offset_s()
time.time_ns = lambda: int(time.time() * 1e9)
datetime.datetime = _Datetime
"""
"""For the Pythons of the daemon and of the data plane: their wall clock goes wrong by what a file says."""


class Clock:
    def __init__(self, folder: Path) -> None:
        self._offset = folder / "offset"
        self.step(0)
        (folder / "sitecustomize.py").write_text(STEPPED_CLOCK.format(offset=str(self._offset)))

    def step(self, offset_s: float) -> None:
        fresh = self._offset.with_name("offset.new")
        fresh.write_text(str(offset_s))
        fresh.rename(self._offset)


def seconds_of(act: Callable[[], object]) -> float:
    began_s = time.monotonic()
    act()
    return time.monotonic() - began_s


def start_deploy(site: Site) -> "subprocess.Popen[str]":
    return subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
def test_clock_that_steps(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    clock = Clock(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    site.start(health_timeout_ms=600, drain_timeout_ms=1000)
    monkeypatch.delenv("PYTHONPATH")
    good = site.commit("good", stubborn=True)
    assert site.post("/deploy", {"commit": good}).status == 200

    site.commit("deaf", deaf=True)
    deploy = start_deploy(site)
    wait_until("the deploy waits for health", lambda: site.status()["running"] == "health")
    clock.step(step_s)
    assert 0.3 < seconds_of(lambda: deploy.wait(30)) < 10
    assert "not healthy within 0.6 s" in deploy.communicate()[1]

    clock.step(0)
    kill(int(site.get("/pid")[1]))
    wait_until("the crash is noticed", lambda: not site.status()["healthy"])
    clock.step(step_s)
    assert 0.5 < seconds_of(lambda: wait_until("the app is back", lambda: serves(site))) < 10

    clock.step(0)
    site.commit("next")
    with socket.create_connection(("127.0.0.1", site.port)) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        deploy = start_deploy(site)
        wait_until("the old version drains", lambda: site.status()["running"] == "drain")
        clock.step(step_s)
        assert 0.7 < seconds_of(lambda: deploy.wait(30)) < 10
    assert "killed after 1 s" in deploy.communicate()[1]
    status = site.status()
    assert (status["healthy"], status["previous_commit"]) == (True, good)
    last = status["last_attempt"]
    assert isinstance(last, dict)
    assert 0.7 < last["seconds"] < 20
