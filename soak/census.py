"""Lists what belongs to one daemon: processes, control groups, sockets, files and worktrees."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from spec.daemon import MARK
from tests.world import Site

from slot_machine.host.process import cgroup, containment

TREES = {"tree-1", "tree-2", "tree-3"}
KEPT = {
    ".gitignore",
    "api.sock",
    "daemon.lock",
    "slot-a",
    "slot-b",
    "token",
    "live",
    "live-slot",
    "previous",
    "reserve",
    "kept",
    "shared",
    "assets",
    "cache",
} | TREES
LOGS = re.compile(r"slot-[ab](\.(cron\.)?[a-z]+(\.[12])?)?\.log(\.index)?")
DATABASE = {"state.db", "state.db-wal", "state.db-shm", "state.db.seal", "stats.db", "stats.db-wal", "stats.db-shm"}


class Process(NamedTuple):
    """`role`: `daemon`, `worker`, `app`, `shell` (the parent of an app), `child` (left its app), or a command line.

    It is `beside` for a process beside the app, `shell beside` for its parent, and `job` for a job and a release
    command.
    """

    pid: int
    role: str
    commit: str


def processes(site: Site) -> list[Process]:
    """Processes with a mark of the daemon in their environment, or with the soak's folder in their command line."""
    return list(_processes(site))


def _processes(site: Site) -> Iterator[Process]:
    marks = f"{MARK}={site.folder}/", f"{containment.MARK}={containment.owner(site.data)}-"
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            stat = (folder / "stat").read_text().rpartition(") ")[2]
            environ = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            marked = any(pair.startswith(marks) for pair in environ)
            if stat[0] not in "ZX" and (marked or f"{site.folder}/child-" in command):
                commits = [pair.partition("=")[2] for pair in environ if pair.startswith("SLOT_MACHINE_COMMIT=")]
                yield Process(int(folder.name), _role(site, command), commits[0] if commits else "")


def _role(site: Site, command: str) -> str:
    if f"{site.folder}/child-" in command or command.startswith("sleep "):
        return "child"
    if "slot_machine.proxy" in command or "(proxy " in command:
        return "worker"
    if "beside.py" in command:
        if "beside.py job" in command or "beside.py release" in command:
            return "job"
        return "shell beside" if command.startswith("/bin/sh ") else "beside"
    if "app.py" in command:
        return "shell" if command.startswith("/bin/sh ") else "app"
    return "daemon" if "(daemon)" in command or command.endswith("slot-machine start ") else command


def roles(site: Site) -> Counter[str]:
    return Counter(process.role for process in processes(site))


def session(site: Site, commit: str) -> list[int]:
    """The pids of an app and its shell."""
    return [found.pid for found in processes(site) if found.role in ("app", "shell") and found.commit == commit]


def beside(site: Site) -> list[list[int]]:
    """The pids of each process beside the app, or of its parent and of it."""
    pids = {process.pid: process.role for process in processes(site) if process.role in ("beside", "shell beside")}
    parents = {pid: _parent(pid) for pid, role in pids.items() if role == "beside"}
    return [[parent, pid] if parent in pids else [pid] for pid, parent in parents.items()]


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    return 0


def workers(site: Site) -> list[int]:
    return [process.pid for process in processes(site) if process.role == "worker"]


def control_groups(site: Site) -> list[str]:
    parent = cgroup.usable_parent()
    whose = containment.owner(site.data)
    return [path.name for path in parent.glob(f"slot-machine-{whose}-*")] if parent else []


def sockets(site: Site) -> list[str]:
    return sorted(path.name for path in site.data.glob("proxy-*.sock"))


def unexpected_files(site: Site) -> list[str]:
    """Unexpected files in the data folder and in the folder for temporary files, and lock files of git."""
    known = KEPT | DATABASE | set(sockets(site))
    data = [path.name for path in site.data.iterdir() if path.name not in known and not LOGS.fullmatch(path.name)]
    return data + [str(path) for path in (*(site.repo / ".git").rglob("*.lock"), *(site.folder / "tmp").iterdir())]


def unexpected_worktrees(site: Site) -> list[str]:
    lines = site.git("worktree", "list", "--porcelain").splitlines()
    listed = {line.removeprefix("worktree ") for line in lines if line.startswith("worktree ")}
    ours = {str(site.repo)} | {str(site.data / tree) for tree in TREES}
    registered = {path.name for path in (site.repo / ".git" / "worktrees").iterdir()}
    return sorted(listed - ours) + sorted(registered - TREES)


def resident_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def open_fds(pid: int) -> int:
    with suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0
