"""Sessions: a command and all its descendants, started or adopted, watched, and stopped together."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from slot_machine.host.process import containment, proc
from slot_machine.host.process.cgroup import Cgroup
from slot_machine.host.process.containment import MARK
from slot_machine.host.process.exits import UNKNOWN_EXIT
from slot_machine.host.process.mains import mains
from slot_machine.host.process.proc import Identity
from slot_machine.host.user import rights

log = logging.getLogger(__name__)

KILLED_WITHIN_S = 10.0
"""A process that survives SIGKILL for longer hangs in the kernel: it is left running."""

SURVIVES = "it belongs to another user, or hangs in the kernel; it was left running, so end it by hand"

_open: dict[int, "Session"] = {}
"""Every session of this daemon that is not reaped yet, by the pid of its leader."""


class Session:
    """A session (setsid(2)) led by process `pid`, with all descendants of that process.

    A leader that is the daemon's child stays a zombie until `reap`, so that the kernel can't give its pid to another
    process before that.
    """

    def __init__(
        self,
        identity: Identity,
        pidfd: int | None,
        *,
        contained: bool,
        leader: "subprocess.Popen[bytes] | None" = None,
    ) -> None:
        """`pidfd` is None for a leader that has ended; its descendants may still run.

        `contained`: descendants that leave the session must be found, too. An app's may do that, git's do not.
        """
        self.identity = identity
        self.pid = identity.pid
        self.may_lose_orphans = contained and not identity.cgroup
        self._pidfd = pidfd
        self._leader = leader
        self._cgroup = Cgroup(Path(identity.cgroup)) if identity.cgroup else None
        self._reaped = pidfd is None
        self._exit_code = UNKNOWN_EXIT
        self._seen: dict[int, int] = {}
        self._latest: list[int] = []
        self.survivors: list[str] = []
        _open[self.pid] = self

    @classmethod
    def start(
        cls,
        argv: list[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        output: int,
        errors: int | None = None,
        owner: str,
        pass_fds: tuple[int, ...] = (),
        contained: bool = True,
        as_daemon: bool = False,
        given: int = subprocess.DEVNULL,
    ) -> Self:
        """`output` is the file descriptor for stdout and, without `errors`, for stderr. `owner`: `containment.owner`.

        `as_daemon`: with the daemon's rights, not with those of `user`. `given` is the file descriptor for stdin, of a
        session that is not `contained`. Raises OSError.
        """
        mark = containment.new_mark(owner)
        cgroup = Cgroup.make(mark) if contained else None
        try:
            leader = subprocess.Popen(
                cgroup.waiting(argv) if cgroup else argv,
                cwd=cwd,
                env={**env, MARK: mark},
                stdin=subprocess.PIPE if cgroup else given,
                stdout=output,
                stderr=output if errors is None else errors,
                pass_fds=pass_fds,
                start_new_session=True,
                **rights.of_child(None if as_daemon else rights.other()),
            )
            if cgroup:
                cgroup.admit(leader)
        except OSError:
            if cgroup:
                cgroup.remove()
            raise
        return cls._led_by(leader, mark, cgroup, contained=contained)

    @classmethod
    def _led_by(cls, leader: "subprocess.Popen[bytes]", mark: str, cgroup: Cgroup | None, *, contained: bool) -> Self:
        """Kills the leader if it can't be watched. Raises OSError."""
        try:
            identity = proc.identify(leader.pid, mark, str(cgroup.path) if cgroup else "")
            return cls(identity, os.pidfd_open(leader.pid), contained=contained, leader=leader)
        except OSError:
            with contextlib.suppress(PermissionError):
                leader.kill()
                leader.wait()
            raise

    @classmethod
    def adopt(cls, identity: Identity, *, contained: bool = True) -> Self:
        """Takes over a session that an earlier daemon started. Its leader may have ended.

        If an earlier image of this process started it, the exit code of a leader that ended meanwhile is known.
        """
        pidfd = None
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(identity.pid)
        if pidfd is not None and not proc.is_running(identity) and not proc.is_unreaped_child(identity):
            os.close(pidfd)
            pidfd = None
        return cls(identity, pidfd, contained=contained)

    @property
    def exit_code(self) -> int | None:
        """The leader's: None while it runs, negative for a signal (as in `subprocess`), or UNKNOWN_EXIT."""
        if self._reaped or self._pidfd is None:
            return self._exit_code
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return UNKNOWN_EXIT if proc.is_readable(self._pidfd) else None
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    async def exited(self) -> int:
        """Waits for the leader to end and returns its exit code."""
        if not self._reaped and self._pidfd is not None:
            await proc.readable(self._pidfd)
        code = self.exit_code
        assert code is not None
        return code

    def members(self) -> list[int]:
        """The pids of all its running processes that the daemon can see."""
        if self.identity.boot_id != proc.boot_id():
            return []
        in_cgroup = self._in_cgroup()
        seeds = self._seen | {pid: stat.start_ticks for pid in in_cgroup if (stat := proc.stat(pid))}
        # A process that was found once stays a member, even if its parent ends first.
        self._seen = containment.descendants(self.pid if self._owns_pid else None, self.identity, seeds)
        hidden = {self.pid} if self.exit_code is None else set()
        self._latest = [*self._seen, *(hidden.union(in_cgroup) - self._seen.keys()), *self._orphans()]
        return self._latest

    def limit(self, memory_bytes: int, cpu_weight: int) -> bool:
        """See `Cgroup.limit`. Without a group, there is no such limit. Raises OSError."""
        return self._cgroup.limit(memory_bytes, cpu_weight) if self._cgroup else not memory_bytes

    def oom_kills(self) -> int:
        """See `Cgroup.oom_kills`. To be asked before `reap`."""
        return self._cgroup.oom_kills() if self._cgroup else 0

    def ask(self, signum: signal.Signals) -> None:
        """Signals the main processes only, which tell their own children."""
        if self.exit_code is not None:
            return
        with contextlib.ExitStack() as stack:
            held = {pid: _pidfd_of(pid, stack) for pid in mains(self.pid, signum)}
            # Checked again: before its pidfd was opened, the kernel may have given the pid to another process.
            for pid in mains(self.pid, signum) if self.exit_code is None else ():
                if (pidfd := held.get(pid)) is not None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        signal.pidfd_send_signal(pidfd, signum)

    def signal(self, signum: signal.Signals) -> None:
        """Signals the leader's process group in one step, then each other member that may be signalled."""
        with contextlib.ExitStack() as stack:
            held = {pid: _pidfd_of(pid, stack) for pid in self.members()}
            in_group: set[int] = set()
            if self._owns_pid:
                in_group = {pid for pid in held if _group(pid) == self.pid}
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signum)
            for pid in self._still_members(held.keys() - in_group):
                pidfd = held[pid]
                if pidfd is not None:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        signal.pidfd_send_signal(pidfd, signum)

    def _still_members(self, pids: set[int]) -> set[int]:
        """Checks again after the pidfds were opened, because the kernel may have given a pid to another process."""
        same = {pid for pid in pids if (stat := proc.stat(pid)) and stat.start_ticks == self._seen.get(pid)}
        return same | (pids & set(self.members()) if pids - same else set())

    async def ended(self) -> None:
        """Waits for the members that were seen last, then looks again, until there are none."""
        pids = self._latest
        while pids:
            for pid in pids:
                await proc.gone(pid)
            pids = self.members()

    async def stop(self, grace_s: float) -> bool:
        """Sends SIGTERM, and SIGKILL after `grace_s`. Returns whether SIGKILL was needed. Reaps."""
        self.signal(signal.SIGTERM)
        return await self.end_within(grace_s)

    async def end_within(self, grace_s: float) -> bool:
        """Waits for the end of all members, and sends SIGKILL after `grace_s`. Returns whether that was needed. Reaps.

        If this is cancelled before SIGKILL, the members run on.
        """
        self.members()
        try:
            async with asyncio.timeout(grace_s):
                await self.ended()
        except TimeoutError:
            await self.kill()
            return True
        await self._let_go()
        return False

    async def kill(self) -> None:
        """Sends SIGKILL to all members and reaps. Afterwards, `survivors` names those that could not be ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILLED_WITHIN_S):
                while killable := self._killable():
                    if self._cgroup:
                        self._cgroup.kill()
                    self.signal(signal.SIGKILL)
                    for pid in killable:
                        await proc.gone(pid)
        self.survivors = [f"process {pid} ({proc.command_line(pid) or '?'})" for pid in self.members()]
        if self.survivors:
            log.error("cannot end %s: %s", ", ".join(self.survivors), SURVIVES)
        await self._let_go()

    def reap(self) -> None:
        """Gives up the leader and its pid; reads the exit code of one that has ended. Removes the control group."""
        if not self._reaped and self._pidfd is not None:
            code = self.exit_code
            self._exit_code = UNKNOWN_EXIT if code is None else code
            self._reaped = True
            if code is not None:
                self._wait()
            os.close(self._pidfd)
        if self._cgroup:
            self._cgroup.remove()
        if _open.get(self.pid) is self:
            del _open[self.pid]

    async def _let_go(self) -> None:
        if self._cgroup:
            await self._cgroup.emptied()
        self.reap()

    def _wait(self) -> None:
        assert self._pidfd is not None
        if self._leader:
            self._leader.wait()
        else:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)

    def _killable(self) -> list[int]:
        """Members that can be killed: a control group kills even processes of other users."""
        in_cgroup = self._in_cgroup()
        return [pid for pid in self.members() if pid in in_cgroup or proc.may_signal(pid)]

    def _in_cgroup(self) -> set[int]:
        return set(self._cgroup.processes()) if self._cgroup else set()

    @property
    def _owns_pid(self) -> bool:
        """Whether `pid` is sure to mean the leader still."""
        return not self._reaped and (self._leader is not None or self.exit_code is None)

    def _orphans(self) -> list[int]:
        """Orphans that must be this session's, because every other session that may lose some is younger."""
        if not self.may_lose_orphans:
            return []
        others = [other.identity for other in _open.values() if other.may_lose_orphans and other is not self]
        return [pid for pid, ticks in containment.orphans(_open) if all(ticks < other.start_ticks for other in others)]


def leaders() -> set[int]:
    """The pids of all sessions that are not reaped yet."""
    return set(_open)


def _pidfd_of(pid: int, stack: contextlib.ExitStack) -> int | None:
    """A pidfd that the stack closes; None for a process that is gone."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, pidfd)
    return pidfd


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
