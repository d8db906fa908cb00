"""Processes in sessions of their own: started, watched through a pidfd, and stopped with all that they started."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import msgspec


class Identity(msgspec.Struct, frozen=True):
    """A process beyond its pid, which the kernel uses again: `start_ticks` since the boot with this `boot_id`."""

    pid: int
    start_ticks: int
    boot_id: str


class Session:
    """A session (setsid) and every process in it, led by process `pid`.

    The leader stays unreaped until `reap`, so that its pid can't come to mean another session meanwhile.
    """

    def __init__(self, leader: subprocess.Popen[bytes]) -> None:
        self._leader = leader
        self.pid = leader.pid
        self.identity = identify(leader.pid)
        self._pidfd = os.pidfd_open(leader.pid)

    @classmethod
    def start(
        cls,
        argv: list[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        output: int,
        pass_fds: tuple[int, ...] = (),
    ) -> Self:
        """`output` is the file descriptor that takes stdout and stderr. Raises OSError."""
        leader = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        try:
            return cls(leader)
        except OSError:
            leader.kill()
            leader.wait()
            raise

    @property
    def exit_code(self) -> int | None:
        """Of the leader; None while it runs, negative for the signal that ended it (as in `subprocess`)."""
        if self._leader.returncode is not None:
            return self._leader.returncode
        result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is None:
            return None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    async def exited(self) -> int:
        """Waits for the leader to end and returns its exit code."""
        await readable(self._pidfd)
        code = self.exit_code
        assert code is not None
        return code

    def signal(self, signum: signal.Signals) -> None:
        """Sends to the process group at once, then to members of the session that made groups of their own."""
        if self._leader.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signum)
        for pid in members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) != self.pid:
                    os.kill(pid, signum)

    async def ended(self) -> None:
        """Waits until no process of the session is left."""
        while pids := members(self.pid):
            for pid in pids:
                await gone(pid)

    async def stop(self, grace_s: float) -> bool:
        """SIGTERM, after `grace_s` SIGKILL. Returns whether it took the SIGKILL. Ends with `reap`."""
        if self._leader.returncode is not None:
            return False
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self.ended()
        except TimeoutError:
            await self.kill()
            return True
        self.reap()
        return False

    async def kill(self) -> None:
        """SIGKILL to the whole session. Ends with `reap`."""
        while self._leader.returncode is None and members(self.pid):
            self.signal(signal.SIGKILL)
            await self.ended()
        self.reap()

    def kill_now(self) -> None:
        """For a process that has only just begun: it has no children yet."""
        self._leader.kill()
        self.reap()

    def reap(self) -> None:
        if self._leader.returncode is None:
            self._leader.wait()
            os.close(self._pidfd)


def members(session: int) -> list[int]:
    """The processes of a session, zombies left out."""
    return [pid for pid, fields in _stats() if int(fields[3]) == session and fields[0] not in "ZX"]


def identify(pid: int) -> Identity:
    """Raises ProcessLookupError."""
    fields = _stat(pid)
    if fields is None:
        raise ProcessLookupError(f"no process {pid}")
    return Identity(pid, int(fields[19]), Path("/proc/sys/kernel/random/boot_id").read_text().strip())


def is_running(identity: Identity) -> bool:
    try:
        return identify(identity.pid) == identity
    except ProcessLookupError:
        return False


async def kill_leftover(leader: Identity) -> bool:
    """Kills the session of a leader that an earlier daemon started. Returns whether there was anything to kill.

    A leader that ended leaves its session id behind in its members, so these are looked for as well, on the same boot.
    """
    if leader.boot_id != identify(os.getpid()).boot_id or not (is_running(leader) or _led_before(leader)):
        return False
    while pids := members(leader.pid):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            await gone(pid)
    return True


async def gone(pid: int) -> None:
    """Waits for any process of this machine to end."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await readable(pidfd)
    finally:
        os.close(pidfd)


async def readable(fd: int) -> None:
    """Waits on a file descriptor of its own copy, so that several can wait for the same process."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    copy = os.dup(fd)
    loop.add_reader(copy, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(copy)
        os.close(copy)


def resident_bytes(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def describe_exit(code: int) -> str:
    """`exit code 3`, or `killed by SIGTERM`."""
    if code < 0:
        return f"killed by {_signal_name(-code)}"
    # A shell says so of a program that it ran.
    return f"exit code {code}" if code <= 128 else f"exit code {code}, killed by {_signal_name(code - 128)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _led_before(leader: Identity) -> bool:
    """Whether a session of this number is left whose leader is gone: its number can't have been given out again."""
    return _stat(leader.pid) is None and bool(members(leader.pid))


def _stats() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            yield int(name), fields


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from `state` on (field 3 in proc(5)); the name before them may contain anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].decode().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
