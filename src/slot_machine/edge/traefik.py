"""The process of Traefik: started, replaced without closing a listening socket, started again when it dies."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import msgspec

from slot_machine.core import backoff
from slot_machine.edge.binary import Traefik
from slot_machine.edge.process import Process
from slot_machine.edge.reload import Handed, Left
from slot_machine.edge.sockets import NEW, OLD, Set, Sockets, close, steer
from slot_machine.edge.static import ADMIN
from slot_machine.host.network import ports
from slot_machine.host.process import python

STOP_LIMIT_S = 10.0
ACCEPTED_S = 1.0
NOISE = "Traefik can reject some encoded characters"
"""It says so at each start."""

log = logging.getLogger(__name__)


class Line(msgspec.Struct):
    """Of Traefik's log."""

    level: str = ""
    message: str = ""
    error: str = ""
    domains: tuple[str, ...] | str = ()


class Runner:
    """The sockets of a Traefik stay open when it dies: clients wait in their queues for the next one.

    Each process has its own socket for Traefik's API, so that it is known which one answers.
    """

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._own: Set = ()
        self.admin_port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._old: set[Process] = set()
        self._process: Process | None = None
        self._said: Callable[[Line], None] = lambda _: None
        self._command: list[str] = []
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, traefik: Traefik, configuration: Path, said: Callable[[Line], None], *, http3: bool) -> None:
        """`said` gets each warning and error of Traefik's log. Raises OSError, StartRefused."""
        self._said = said
        self._own = self._sockets.open(http3=http3)
        self._command = [str(traefik.path), f"--configFile={configuration}"]
        self._process = self._launch()
        self._keep_running()

    def adopt(self, handed: Handed, configuration: Path, traefik: Traefik, said: Callable[[Line], None]) -> None:
        """Goes on with the processes that an earlier image has started. Raises OSError."""
        self._said = said
        self._own = handed.sockets
        self._command = [str(traefik.path), f"--configFile={configuration}"]
        self.admin_port = handed.admin_port
        self._process = self._watched(Process(handed.running.pid, handed.running.output_fd))
        for left in handed.retiring:
            self._let_go(self._watched(Process(left.pid, left.output_fd)))
        self._keep_running()

    async def hand_over(self, clients_fd: int, asker_fd: int, manager: str) -> Handed:
        """All that runs, which nobody looks after from then on."""
        for task in (self._keeping, *self._tasks):
            if task:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self._process
        return Handed(
            clients_fd=clients_fd,
            asker_fd=asker_fd,
            manager=manager,
            socket_fds=tuple((name, each.detach()) for name, each in self._own),
            running=Left(self._process.pid, self._process.output),
            admin_port=self.admin_port,
            retiring=tuple(Left(old.pid, old.output) for old in self._old if old.returncode is None),
        )

    async def replace(
        self, traefik: Traefik, configuration: Path, ready: Callable[[], Awaitable[str]], *, http3: bool
    ) -> str:
        """Two run at once. The new one gets no connection until it is `ready`, which returns why it is not.

        The old one goes on with its open connections for the grace time of its configuration. Raises OSError,
        StartRefused.
        """
        old, command, port, sockets = self._process, self._command, self.admin_port, self._own
        steer(sockets, OLD)
        self._own = self._sockets.open(http3=http3)
        self._command = [str(traefik.path), f"--configFile={configuration}"]
        self._process = self._launch()
        reason = await ready()
        if reason or not self.running:
            new, self._process, self._command, self.admin_port = self._process, old, command, port
            await self._end(new)
            close(self._own)
            self._own = sockets
            return reason or "the new Traefik ended at once"
        self._keep_running()
        steer(self._own, NEW)
        # What the kernel has given to the old one until now, it accepts.
        await asyncio.sleep(ACCEPTED_S)
        close(sockets)
        if old and old.returncode is None:
            self._retire(old)
        return ""

    def _keep_running(self) -> None:
        if self._keeping:
            self._keeping.cancel()
        self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """Ends all, after `STOP_LIMIT_S` at the latest."""
        if self._keeping:
            self._keeping.cancel()
        await asyncio.gather(*(self._end(process) for process in (self._process, *self._old) if process))
        for task in self._tasks:
            task.cancel()
        close(self._own)

    def _launch(self) -> Process:
        """Raises OSError."""
        with ports.bind_loopback(0) as admin:
            admin.listen()
            sockets = [*self._own, (ADMIN, admin)]
            fds = [f"{name}={each.fileno()}" for name, each in sockets]
            command = python.module("slot_machine.edge.launch", *fds, "--", *self._command)
            process = Process.started(command, [each.fileno() for _, each in sockets])
            self.admin_port = admin.getsockname()[1]
        return self._watched(process)

    def _watched(self, process: Process) -> Process:
        self._do(self._read(process))
        return process

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, process: Process) -> None:
        async for text in process.lines():
            try:
                line = msgspec.json.decode(text, type=Line)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                line = Line("error", text.decode(errors="replace").strip())
            if line.level in ("warn", "error", "fatal", "panic") and not line.message.startswith(NOISE):
                self._said(line)

    async def _keep(self) -> None:
        delay_s = 0.0
        while True:
            process = self._process
            assert process
            started_s = time.monotonic()
            code = await process.wait()
            if process is not self._process:
                return  # It is being replaced.
            delay_s = backoff.next_delay_s(delay_s, time.monotonic() - started_s)
            log.error("Traefik ended with %s; it is started again in %g s", _how(code), delay_s)
            await asyncio.sleep(delay_s)
            if process is self._process:
                with contextlib.suppress(OSError):
                    self._process = self._launch()

    def _retire(self, process: Process) -> None:
        process.signal(signal.SIGTERM)
        self._let_go(process)

    def _let_go(self, process: Process) -> None:
        self._old.add(process)
        self._do(self._gone(process))

    async def _gone(self, process: Process) -> None:
        await process.wait()
        self._old.discard(process)

    async def _end(self, process: Process) -> None:
        if process not in self._old:
            process.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
        except TimeoutError:
            process.signal(signal.SIGKILL)
            await process.wait()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
