"""Checks that a daemon at rest is consistent: replies, `status`, files and processes agree."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from spec.web import exchange
from tests.another_user import DENIED, targets
from tests.world import Site

from soak import census, journal
from soak.project import Version

OTHER_SLOT = {"a": "b", "b": "a"}
ANSWERS = 4
STRANGER = 54_321
GONE = {"No such file or directory", "No such process"}
"""Errors that mean that a target has ended since the app got the list of targets."""
ASK = """
import socket, sys
head = b"POST /rollback HTTP/1.0\\r\\nHost: localhost\\r\\nContent-Length: 0\\r\\n"
for more in (None, b"\\r\\n", b"Via: 1.1 proxy\\r\\n\\r\\n"):
    client = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
    client.sendall(head + (more or b"\\r\\n"))
    if more:
        print(client.recv(4096).split()[1].decode(), end=" ")
    client.close()
"""


class Expected(NamedTuple):
    """`previous` is a commit, and may be empty."""

    live: Version
    previous: str
    workers: int


def problems(site: Site, expected: Expected) -> list[str]:
    status = site.status()
    found = [*_of_status(status, expected), *_of_disk(site, status), *_of_processes(site, status, expected)]
    return [*found, *_of_beside(site, status, expected.live), *journal.problems(site), *_of_callers(site)]


def _of_status(status: dict[str, object], expected: Expected) -> Iterator[str]:
    if (status["live_commit"], status["previous_commit"]) != (expected.live.commit, expected.previous):
        yield f"live and previous are {status['live_commit']}, {status['previous_commit']}, not {expected}"
    slots = status["live_slot"], status["previous_slot"]
    if slots[0] not in ("a", "b") or slots[1] != (OTHER_SLOT[str(slots[0])] if expected.previous else ""):
        yield f"slots are {slots}"
    if not status["healthy"] or status["running"] or not status["pid"]:
        yield f"not at rest: {status}"
    attempt = status["last_attempt"]
    if isinstance(attempt, dict) and attempt["result"] == "running":
        yield f"an attempt still runs: {attempt}"


def _of_disk(site: Site, status: dict[str, object]) -> Iterator[str]:
    slot = (site.data / f"slot-{status['live_slot']}").resolve()
    if (head := site.git("-C", str(slot), "rev-parse", "HEAD")) != status["live_commit"]:
        yield f"slot {slot.name} is at {head}"
    if changed := site.git("-C", str(slot), "status", "--porcelain"):
        yield f"slot {slot.name} was changed: {changed}"
    if (site.data / "live").resolve() != slot:
        yield f"live points to {(site.data / 'live').resolve()}"
    if (folder := Path(f"/proc/{status['pid']}/cwd").resolve()) != slot:
        yield f"the live app runs in {folder}"
    version = (slot / "version").read_text().strip()
    for _ in range(ANSWERS):
        code, answered = answer(site.port)
        if (code, answered) != (200, version):
            yield f"{code} from version {answered}, live is {version}"
    if "running" in [row["result"] for row in site.history() if row["kind"] != "job"]:
        yield "an old attempt still runs in the history"
    if unexpected := census.unexpected_files(site) + census.unexpected_worktrees(site):
        yield f"left on disk: {unexpected}"


def _of_processes(site: Site, status: dict[str, object], expected: Expected) -> Iterator[str]:
    found = census.processes(site)
    roles = census.roles(site)
    children = expected.live.children
    wanted = {"daemon": 1, "worker": expected.workers, "app": 1, "beside": len(expected.live.beside)}
    if {
        role: count for role, count in roles.items() if role not in ("child", "shell", "shell beside", "job")
    } != wanted:
        yield f"{dict(roles)} run, expected {wanted}"
    shells = [process for process in found if process.role == "child"]
    if bool(shells) != bool(children) or len(shells) > 2 * children:
        yield f"{len(shells)} processes left their app, expected at most {2 * children}"
    if others := {process.commit for process in found if process.role != "job"} - {"", str(status["live_commit"])}:
        yield f"processes of {others} run"
    if len(census.sockets(site)) != expected.workers:
        yield f"sockets {census.sockets(site)}"
    if len(groups := census.control_groups(site)) > 1 + len(expected.live.beside) + roles["job"]:
        yield f"control groups {groups}"


def _of_beside(site: Site, status: dict[str, object], live: Version) -> Iterator[str]:
    listed, config = status["processes"], status["live_config"]
    assert isinstance(listed, list)
    assert isinstance(config, dict)
    found = {pids[0] for pids in census.beside(site)}
    if {(its["name"], its["index"]) for its in listed} != live.beside or {its["pid"] for its in listed} != found:
        yield f"processes {listed}, expected {live.beside}, {found} run"
    if status["retiring"]:
        yield f"still retiring: {status['retiring']}"
    if differing := [
        field for field in ("start_command", "build_command", "strategy") if config[field] != live.config[field]
    ]:
        yield f"the live version has another configuration than its commit: {differing}"
    if status["shared"] != {"data": "linked", "uploads": "linked"}:
        yield f"shared: {status['shared']}"


def _of_callers(site: Site) -> Iterator[str]:
    """Checks that other users may change nothing. Only root can try that."""
    if os.geteuid() == 0 and (statuses := strangers_answers(site)) != "401 401 ":
        yield f"another user's requests got {statuses}"


def strangers_answers(site: Site) -> str:
    """The statuses that another user gets for two rollbacks, of which the second one came through a proxy.

    Before them, it sends a rollback and does not wait for the reply.
    """
    command = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups", sys.executable, "-ISc", ASK]
    return subprocess.run([*command, str(site.api_port)], cwd="/", capture_output=True, text=True, check=False).stdout


def apps_attacks(site: Site) -> tuple[int, list[str]]:
    """The live app attacks its daemon. Returns how many attempts were refused, and the outcome of each other attempt.

    Raises OSError, AssertionError, HTTPException.
    """
    pids = [site.daemons[-1].process.pid, *census.workers(site)]
    status, body = exchange(site.port, "POST", "/attack", targets(site, pids))
    assert status == 200, (status, body)
    tried: dict[str, str] = json.loads(body)
    others = {attempt: outcome for attempt, outcome in tried.items() if outcome not in DENIED}
    problems = [f"the app tried to {attempt}: {outcome}" for attempt, outcome in others.items() if outcome not in GONE]
    return len(tried) - len(others), problems


def answer(port: int) -> tuple[int, str]:
    """The status and the version of a reply on a new connection. Raises OSError, HTTPException."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/")
        reply = connection.getresponse()
        reply.read()
        return reply.status, reply.headers.get("X-Version", "")


def leftovers(site: Site) -> dict[str, list[str]]:
    """What is left after the daemon's end."""
    return {
        "processes": [f"{process.pid} {process.role}" for process in census.processes(site)],
        "control groups": census.control_groups(site),
        "sockets": census.sockets(site),
        "files": census.unexpected_files(site),
        "worktree registrations": census.unexpected_worktrees(site),
    }
