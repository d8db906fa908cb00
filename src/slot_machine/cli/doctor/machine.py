"""Checks of the machine: git, kernel, clock, limits, disk."""

import asyncio
import ctypes
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from slot_machine.app.preflight import MARGIN
from slot_machine.cli.doctor.finding import Finding, Subject, note, ok, refused, wrong
from slot_machine.core.errors import GitFailed
from slot_machine.handover import rehearsal
from slot_machine.host.files import capacity
from slot_machine.host.files.capacity import megabytes
from slot_machine.host.git.worktrees import Worktrees
from slot_machine.host.process import cgroup, commands, containment, environment

STALE_S = 600
"""A lock of git's that is older belongs to a git that was killed: none holds one for so long."""
LOCK_PLACES = ("*.lock", "refs/*/*.lock", "worktrees/*/*.lock")
SETTLED_S = 60
"""The times of files may be so much later than the clock, on file systems of other machines."""
FEW_FILES = 4096
LITTLE_ROOM = 1_000_000_000
"""Bytes. A version of an app with its packages often takes some hundred megabytes."""
TIME_ERROR, TIMEX_BYTES = 5, 208
"""adjtimex(2): what it returns if the clock is not synchronised; the size of struct timex, which is 0 in all fields."""
FIRST_WITH_PIDFDS, FIRST_WITH_KILL = (5, 3), (5, 14)


def git(subject: Subject) -> Iterator[Finding]:
    if not shutil.which("git"):
        yield wrong("git", "git is not on the PATH", "install it")
        return
    said = subprocess.run(["git", "version"], capture_output=True, text=True, check=False).stdout.strip()
    repo = subject.options.repo
    try:
        folder = Path(asyncio.run(_usable(subject)))
    except GitFailed as error:
        yield refused("git", error)
        return
    yield ok("git", f"{said}; {repo} can be used")
    now_s = time.time()
    for lock in (path for pattern in LOCK_PLACES for path in folder.glob(pattern)):
        if now_s - lock.lstat().st_mtime > STALE_S:
            yield wrong(
                "git", f"{lock} was left by a git that was killed", f"if no git runs there, remove it: rm {lock}"
            )


async def _usable(subject: Subject) -> str:
    """The folder that all worktrees share. Raises GitFailed."""
    repo = subject.options.repo
    worktrees = Worktrees(repo, subject.existing)
    await worktrees.check_repository()
    await worktrees.check_writable()
    argv = ["git", "rev-parse", "--path-format=absolute", "--git-common-dir"]
    _, out, _ = await commands.run(argv, repo, environment.of_commands(), containment.owner(subject.data))
    return out.strip()


def kernel(subject: Subject | None) -> Iterator[Finding]:
    release = os.uname().release
    version = tuple(map(int, re.findall(r"\d+", release)[:2]))
    if version < FIRST_WITH_PIDFDS:
        yield wrong("kernel", f"Linux {release} is too old", "use Linux 5.3 or newer")
    else:
        yield ok("kernel", f"Linux {release}")
    if subject and subject.holder:
        has_groups = _can_make_groups(subject.holder.pid)
    else:
        has_groups = cgroup.usable_parent() is not None
    if has_groups:
        yield ok("groups", "each version runs in a control group of its own")
    else:
        yield note(
            "groups",
            "no control groups can be made, so a process that leaves its version is found by weaker means",
            "run the daemon as a service (`slot-machine install`), or as root"
            if version >= FIRST_WITH_KILL
            else "they need Linux 5.14 or newer",
        )
    if obstacle := rehearsal.rehearse():
        yield note("handover", f"with --no-proxy, a deploy stops the old version first: {obstacle}", "use the proxy")
    else:
        yield ok("handover", "the port can be handed over with --no-proxy")


def _can_make_groups(pid: int) -> bool:
    group = cgroup.group_for_runs(str(pid))
    return group is not None and (os.access(group, os.W_OK) or any(group.glob(f"{cgroup.GROUP_PREFIX}*")))


def clock(subject: Subject | None) -> Iterator[Finding]:
    database = subject.data / "state.db" if subject else None
    if database and database.exists() and (ahead_s := database.stat().st_mtime - time.time()) > SETTLED_S:
        yield wrong(
            "clock",
            f"the clock was set back: {database} was written {ahead_s:.0f} s later than now",
            "set the clock; jobs wait until it has caught up",
        )
    elif ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)) == TIME_ERROR:
        yield note("clock", "no time server keeps the clock right", "run one, such as systemd-timesyncd or chrony")
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %Z, kept right by a time server"))


def limits(subject: Subject | None) -> Iterator[Finding]:
    pid = subject.holder.pid if subject and subject.holder else os.getpid()
    # proc(5). Everybody may read it; prlimit(2) would need rights.
    found = re.search(r"^Max open files +\S+ +(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    files = int(found[1]) if found and found[1].isdecimal() else sys.maxsize
    if files < FEW_FILES:
        yield note(
            "limits",
            f"a process may open {files} files: the proxy can serve about {files // 2} clients at once",
            f"raise it, such as by LimitNOFILE= in a unit, or in /etc/security/limits.conf, to {FEW_FILES} or more",
        )
    else:
        yield ok("limits", f"a process may open {files} files")


def disk(subject: Subject) -> Iterator[Finding]:
    free = capacity.free(subject.existing)
    text = f"{megabytes(free.bytes)} are free for {subject.data}"
    show = f"make room; `du -xsh {subject.data}/*` shows what takes it"
    if free.bytes < MARGIN.bytes:
        yield wrong("disk", f"only {text}: deploys are refused", show)
    elif free.inodes < MARGIN.inodes:
        yield wrong("disk", f"only {free.inodes} inodes are free for {subject.data}: deploys are refused", show)
    elif free.bytes < LITTLE_ROOM:
        yield note("disk", f"{text}, which another version may need", show)
    else:
        yield ok("disk", text)
