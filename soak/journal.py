"""What ran beside the soaked app, as `beside.py` wrote it down, compared with the history."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.world import Site

LIVE_STAGES = ("switch", "drain")
AFTER_RELEASE = ("start", "health", *LIVE_STAGES)


class Entry(NamedTuple):
    """`version` is what the configuration says, `found` is what the tree says."""

    role: str
    pid: int
    version: str
    found: str
    commit: str
    event: str
    at_s: float


def path(site: Site) -> Path:
    return site.folder / "journal" / "journal"


def begin(site: Site) -> None:
    """The app may be another user's."""
    path(site).parent.mkdir()
    path(site).parent.chmod(0o777)
    path(site).touch()
    path(site).chmod(0o666)


def killed(site: Site, pid: int) -> None:
    """Writes down that the soak kills this process."""
    entry = Entry("", pid, "", "", "", "killed", time.time())
    with path(site).open("a") as file:
        file.write(json.dumps(entry._asdict()) + "\n")


def read(site: Site) -> list[Entry]:
    return [Entry(**json.loads(line)) for line in path(site).read_text().splitlines()]


def problems(site: Site) -> Iterator[str]:
    """At any time."""
    # The journal first: the history has what a process needs before the process starts.
    entries = read(site)
    deploys = {str(row["commit_hash"]): row for row in site.history() if row["kind"] == "deploy"}
    yield from (f"the configuration of another version: {entry}" for entry in entries if entry.version != entry.found)
    yield from (f"two ran at once: {entry}" for entry in entries if entry.event == "second")
    yield from _of_releases(entries, deploys)
    switched = {commit for commit, row in deploys.items() if row["stage"] in LIVE_STAGES}
    for entry in entries:
        if entry.event == "start" and entry.role != "release" and entry.commit not in switched:
            yield f"of a version that was never live: {entry}"
    for row in site.history():
        if "its jobs may run again" in str(row["warnings"]):
            yield f"a process needed SIGKILL: {row['warnings']}"


def _of_releases(entries: list[Entry], deploys: dict[str, dict[str, object]]) -> Iterator[str]:
    """Each commit is deployed once."""
    runs = Counter(entry.commit for entry in entries if (entry.role, entry.event) == ("release", "start"))
    for commit, row in deploys.items():
        reached = row["stage"] in AFTER_RELEASE or (row["stage"] == "release" and row["result"] == "failed")
        allowed = {1} if reached else {0, 1} if row["stage"] == "release" else {0}
        if runs[commit] not in allowed:
            yield f"the release command of {commit} ran {runs[commit]} times: {row}"


def unended(site: Site) -> list[str]:
    """Processes that started and did not write down their end, though the soak did not kill them."""
    running: dict[int, Entry] = {}
    for entry in read(site):
        if entry.event == "start":
            running[entry.pid] = entry
        elif entry.event in ("end", "killed"):
            running.pop(entry.pid, None)
    # A release command ends with the daemon that is killed.
    return [f"ended by others, or not at all: {entry}" for entry in running.values() if entry.role != "release"]


def counts(site: Site) -> list[tuple[str, object]]:
    seen = Counter((entry.role, entry.event) for entry in read(site))
    return [(f"{role}: {event}", count) for (role, event), count in sorted(seen.items()) if role]
