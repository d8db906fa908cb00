"""What the daemon tells its service manager: sd_notify(3), and the watchdog of systemd.service(5).

NOTIFY_SOCKET stays in the environment of the daemon, because its next image needs it after a reload. No other process
gets it (`core/service_variables.py`).
"""

import asyncio
import contextlib
import logging
import os
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from slot_machine.app.app import App
from slot_machine.app.failures import going_on
from slot_machine.app.job_run import STOP_GRACE_S
from slot_machine.core.model import State, short

log = logging.getLogger(__name__)

BEAT_S = 5.0
"""How often the state is told, if the watchdog needs no shorter interval."""
EXTENSION_S = 60
"""How much time the manager gives with each message, while the daemon starts or stops."""
SEND_TIMEOUT_S = 1.0
OWN_WAIT_S = 60.0
"""For what the daemon does itself when it starts or stops."""


class Manager:
    """Without `address`, nothing is sent. `watchdog_s` is 0 if the manager does not watch."""

    def __init__(self, address: str = "", watchdog_s: float = 0) -> None:
        self.headline: Callable[[], str] = lambda: "starting"
        """What `systemctl status` shows."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_s = watchdog_s
        self._told = ""
        self._until_s = 0.0

    @classmethod
    def found(cls) -> Self:
        """That of this process's environment."""
        address = os.environ.get("NOTIFY_SOCKET", "")
        watched, limit_us = os.environ.get("WATCHDOG_PID", ""), os.environ.get("WATCHDOG_USEC", "")
        ours = not watched or watched == str(os.getpid())
        return cls(address, int(limit_us) / 1e6 if ours and limit_us.isdecimal() else 0)

    def extend(self, limit_s: float) -> None:
        """From now on, asks for more time with each beat, for at most `limit_s`."""
        self._until_s = time.monotonic() + limit_s
        self._beat()

    def ready(self) -> None:
        """Also ends a reload, whatever came of it."""
        self._until_s = 0
        self._told = self.headline()
        self._tell("READY=1", f"STATUS={self._told}")

    def reloading(self) -> None:
        # Type=notify-reload compares the times of both, so it needs them in one datagram.
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def stopping(self, limit_s: float) -> None:
        self.headline = lambda: "draining and stopping the app"
        self._tell("STOPPING=1")
        self.extend(limit_s)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps the manager informed by a task of the event loop, so that its watchdog notices a loop that hangs."""
        task = asyncio.create_task(self._keep()) if self._address else None
        try:
            yield
        finally:
            if task:
                task.cancel()

    async def _keep(self) -> None:
        while True:
            self._beat()
            await asyncio.sleep(min(BEAT_S, self._watchdog_s / 2) if self._watchdog_s else BEAT_S)

    def _beat(self) -> None:
        words = []
        if self._watchdog_s:
            words.append("WATCHDOG=1")
        if time.monotonic() < self._until_s:
            words.append(f"EXTEND_TIMEOUT_USEC={EXTENSION_S * 1_000_000}")
        if (headline := self.headline()) != self._told:
            words.append(f"STATUS={headline}")
            self._told = headline
        if words:
            self._tell(*words)

    def _tell(self, *words: str) -> None:
        """Never raises: a manager that does not listen is no reason to end."""
        if not self._address:
            return
        text = "\n".join(word.replace("\n", " ") for word in words)
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as connection:
            connection.settimeout(SEND_TIMEOUT_S)
            try:
                connection.sendto(text.encode(errors="replace"), self._address)
            except OSError as error:
                log.error("cannot tell the service manager %s: %s", words[0], error)


def headline(app: App) -> str:
    """What is live, and what is being done, in one line."""
    try:
        live, running = app.deployer.state.live, app.deployer.operations.running
    except sqlite3.Error as error:
        return f"cannot read the database: {error}"
    words = f"{short(live.commit)} is live in slot {live.slot}" if live else "nothing is live"
    if live and not app.supervisor.healthy:
        words += f", unhealthy: {app.supervisor.unhealthy_reason or 'it does not run'}"
    return f"{words}; {running.record.kind}, stage {running.record.stage}" if running else words


def longest_wait_s(app: App) -> float:
    """How long the start or the stop of the daemon may take at most.

    It may have to end one version, with its side runs and jobs, and to wait for the health of another one. Raises
    nothing: a daemon stops its app whatever its database is like.
    """
    waits, state = [STOP_GRACE_S], State()
    with going_on("cannot tell the service manager how long it may take"):
        state = app.deployer.state
    for version in filter(None, (state.live, state.previous)):
        waits += [version.config.health_timeout_s, version.config.drain_timeout_s]
        waits += [process.stop_timeout_s for process in version.config.workers.values()]
    return OWN_WAIT_S + 2 * max(waits)
