"""What must be true of a daemon at rest: what answers, what `status` says, what is on disk and what runs agree."""

from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from tests.world import Site

from soak import census

OTHER_SLOT = {"a": "b", "b": "a"}
ANSWERS = 4


class Expected(NamedTuple):
    """Commits; `previous` may be empty. `children`: how many got away from the live version."""

    live: str
    previous: str
    workers: int
    children: int


def problems(site: Site, expected: Expected) -> list[str]:
    status = site.status()
    return [*_of_status(status, expected), *_of_disk(site, status), *_of_processes(site, status, expected)]


def _of_status(status: dict[str, object], expected: Expected) -> Iterator[str]:
    if (status["live_commit"], status["previous_commit"]) != (expected.live, expected.previous):
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
    if "running" in [row["result"] for row in site.history()[:-1]]:
        yield "an old attempt still runs in the history"
    if stray := census.stray_files(site) + census.stray_worktrees(site):
        yield f"left on disk: {stray}"


def _of_processes(site: Site, status: dict[str, object], expected: Expected) -> Iterator[str]:
    found = census.processes(site)
    roles = census.roles(site)
    wanted = {"daemon": 1, "worker": expected.workers, "app": 1}
    if {role: count for role, count in roles.items() if role not in ("child", "shell")} != wanted:
        yield f"{dict(roles)} run, expected {wanted}"
    shells = [process for process in found if process.role == "child"]
    if bool(shells) != bool(expected.children) or len(shells) > 2 * expected.children:
        yield f"{len(shells)} run that got away from an app, expected at most {2 * expected.children}"
    if others := {process.commit for process in found} - {"", str(status["live_commit"])}:
        yield f"processes of {others} run"
    if len(census.sockets(site)) != expected.workers:
        yield f"sockets {census.sockets(site)}"
    if len(groups := census.control_groups(site)) > 1:
        yield f"control groups {groups}"


def answer(port: int) -> tuple[int, str]:
    """The status and the version of a reply on a new connection. Raises OSError, HTTPException."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/")
        reply = connection.getresponse()
        reply.read()
        return reply.status, reply.headers.get("X-Version", "")


def leftovers(site: Site) -> dict[str, list[str]]:
    """After the daemon's end."""
    return {
        "processes": [f"{process.pid} {process.role}" for process in census.processes(site)],
        "control groups": census.control_groups(site),
        "sockets": census.sockets(site),
        "files": census.stray_files(site),
        "worktree registrations": census.stray_worktrees(site),
    }
