"""One process of Traefik, also one that an earlier image of the edge has started: what it says, and its end."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Self

from slot_machine.host.process import python

LONGEST_LINE = 1 << 20


class Process:
    """A child of this process. `output` is a pipe from its standard output, and is closed with it."""

    def __init__(self, pid: int, output: int) -> None:
        """Raises OSError."""
        self.pid = pid
        self.output = output
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    @classmethod
    def started(cls, command: Sequence[str], fds: Collection[int]) -> Self:
        """Raises OSError. In the main thread: a child that dies with its parent dies with the thread that made it."""
        output, end = os.pipe()
        try:
            made = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=end,
                stderr=end,
                pass_fds=fds,
                cwd=python.FOLDER,
                start_new_session=True,
            )
        except OSError:
            os.close(output)
            raise
        finally:
            os.close(end)
        made.returncode = 0  # Its end is waited for here, and by nobody else.
        return cls(made.pid, output)

    def signal(self, signum: signal.Signals) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._pidfd, signum)

    async def wait(self) -> int:
        await self._ended.wait()
        return self.returncode or 0

    async def lines(self) -> AsyncIterator[bytes]:
        """Of its output, to its end."""
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        pipe = os.fdopen(os.dup(self.output), "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:  # A line that is too long.
                    continue
                if not line:
                    return
                yield line
        finally:
            transport.close()

    def _reap(self) -> None:
        _, status = os.waitpid(self.pid, os.WNOHANG)
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._ended.set()
        os.close(self.output)
