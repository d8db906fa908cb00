"""A repository with the test app in it, and the daemons that a test starts for it."""

import http.client
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import pytest
from demo.load import Load
from spec.daemon import Daemon
from spec.orchestrator import Orchestrator, environment, find
from spec.ports import free_port
from spec.waiting import wait_until
from spec.web import Reply, call, exchange

APP = Path(__file__).parent / "clients" / "sample_app.py"
Value = str | int | list[str] | Mapping[str, object]


class Site:
    def __init__(self, orchestrator: Orchestrator, folder: Path) -> None:
        self.orchestrator = orchestrator
        self.folder = folder
        self.repo = folder / "repo"
        self.data = self.repo / ".slot-machine"
        self.port = free_port()
        self.api_port = free_port()
        self.config: dict[str, Value] = {
            "start_command": f"{shlex.quote(sys.executable)} -IS app.py",
            "port": self.port,
            "api_port": self.api_port,
            "health_timeout_ms": 5000,
        }
        self.daemons: list[Daemon] = []
        self.prefix: tuple[str, ...] = ()
        """A command that runs the daemon."""
        self.repo.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        (self.repo / ".gitignore").write_text(".slot-machine\nslot-machine.json\nignored\n")

    def git(self, *args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.repo, env=environment(), check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, version: str, files: dict[str, str] | None = None, **behaviour: object) -> str:
        """Commits the app with this behaviour and these further files; returns the full hash."""
        (self.repo / "app.py").write_bytes(APP.read_bytes())
        (self.repo / "behaviour.json").write_text(json.dumps({"version": version} | behaviour))
        for name, text in (files or {}).items():
            (self.repo / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repo / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", version)
        return self.git("rev-parse", "HEAD")

    def launch(self, *options: str, **config: Value) -> Daemon:
        """Starts a daemon and does not wait for it."""
        self.config |= config
        (self.repo / "slot-machine.json").write_text(json.dumps(self.config))
        log = self.folder / f"daemon-{len(self.daemons)}.log"
        daemon = Daemon((*self.prefix, self.orchestrator.binary, "start", *options), self.repo, self.api_port, log)
        self.daemons.append(daemon)
        return daemon

    def start(self, *options: str, **config: Value) -> Daemon:
        daemon = self.launch(*options, **config)
        daemon.wait_until_ready()
        return daemon

    def run(self, *args: str) -> "subprocess.CompletedProcess[str]":
        return self.orchestrator.run(*args, cwd=self.repo)

    def get(self, path: str = "/") -> tuple[int, str]:
        status, body = exchange(self.port, "GET", path)
        return status, body.decode()

    def serving(self) -> str:
        """The version that answers; fails on anything but a 200."""
        status, body = self.get()
        assert status == 200, (status, body)
        return body

    def status(self) -> dict[str, object]:
        return call(self.api_port, "GET", "/status").body

    def post(self, path: str, body: dict[str, object] | None = None) -> Reply:
        return call(self.api_port, "POST", path, body)

    def history(self) -> list[dict[str, object]]:
        """Every attempt, the first one first."""
        with sqlite3.connect(f"file:{self.data}/state.db?mode=ro", uri=True) as db:
            db.row_factory = sqlite3.Row
            rows = [dict(row) for row in db.execute("SELECT * FROM attempts ORDER BY id")]
        db.close()
        return rows

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.stop()
        for daemon in self.daemons:
            sys.stderr.write(daemon.log.read_text(errors="replace"))


def installed() -> Orchestrator:
    binary = find()
    assert binary is not None, "slot-machine is not installed beside this Python"
    return Orchestrator(binary)


def serves(site: Site) -> bool:
    try:
        return site.get()[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def metric(site: Site, name: str) -> float:
    """A sample of `GET /metrics`, by its name without the prefix and with its labels but `app`; 0 if there is none."""
    _, found = exchange(site.api_port, "GET", "/metrics")
    text = re.sub(r'\{app="[^"]*"(,|(\}))', lambda match: "" if match[2] else "{", found.decode())
    prefix = f"slot_machine_{name} "
    return next((float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix)), 0)


MODES = pytest.mark.parametrize("options", [(), ("--no-proxy",)], ids=["proxy", "no-proxy"])


def live(site: Site, *options: str, **config: Value) -> str:
    site.start(*options, **config)
    good = site.commit("good")
    assert site.post("/deploy", {"commit": good}).status == 200
    return good


def fail_after(site: Site, good: str, stage: str) -> Reply:
    """Deploys HEAD, which must fail in `stage` and leave `good` live."""
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert reply.status == 500, reply
    assert (reply.body["success"], reply.body["stage"]) == (False, stage), reply
    assert site.serving() == "good"
    status = site.status()
    assert (status["live_commit"], status["healthy"]) == (good, True)
    last = site.history()[-1]
    assert (last["result"], last["stage"]) == ("failed", stage)
    assert last["error"]
    return reply


def slow_git(site: Site) -> tuple[Path, Path]:
    """Two files: while the first exists, git takes forever in a slot, and the second one tells that it was asked."""
    slow, asked, folder = site.folder / "slow", site.folder / "asked", site.folder / "bin"
    folder.mkdir()
    git = folder / "git"
    git.write_text(
        f"#!/bin/sh\ncase $PWD in */tree-?) test -e {slow} && touch {asked} && exec sleep 600;; esac\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    git.chmod(0o755)
    site.prefix = ("/usr/bin/env", f"PATH={folder}:{os.environ['PATH']}")
    return slow, asked


def goes_on(load: Load) -> None:
    """Waits until each of the load's clients can have had another answer."""
    wait_until("the load goes on", partial(load.reached, load.answers.total() + 30))


NO_MORE = nullcontext()


def switch_under_load(
    site: Site,
    switches: int,
    files: dict[str, str] | None = None,
    more_load: AbstractContextManager[None] = NO_MORE,
) -> Load:
    """`files` is the app, where it is another than usual."""
    for version in ("v1", "v2"):
        site.commit(version, files)
        reply = site.post("/deploy", {"commit": "HEAD"})
        assert reply.status == 200, reply
    load = Load(site.port)
    with load.running(), more_load:
        for _ in range(switches):
            goal = load.answers.total() + 20
            wait_until("the load goes on", partial(load.reached, goal))
            reply = site.post("/rollback")
            assert reply.status == 200, reply
    return load


Headers = dict[str, str]


def ask(site: Site, method: str, path: str, headers: Headers, body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", site.api_port, timeout=20)
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    answer = reply.status, reply.read()
    connection.close()
    return answer
