"""The data-plane process as the daemon keeps it: started, routed, and started again when it ends."""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from slot_machine.core.errors import DataPlaneGone
from slot_machine.core.upstream import Counts, Upstream
from slot_machine.host import environment, ports
from slot_machine.host.processes import Session, describe_exit
from slot_machine.host.store import Store
from slot_machine.proxy.remote import Remote
from slot_machine.proxy.wire import Settings

log = logging.getLogger(__name__)

SOCKET = "proxy.sock"
STOP_GRACE_S = 1.0
SHORT_LIFE_S = 1.0
"""A data plane that ends sooner is not replaced in a hot loop."""


class DataPlane:
    """Holds the public listeners, so that connections queue while a data plane starts. Implements Traffic."""

    def __init__(self, data: Path, listeners: Mapping[str, socket.socket], store: Store, hold_timeout_s: float) -> None:
        self._data = data
        self._listeners = listeners
        self._store = store
        self._hold_timeout_s = hold_timeout_s
        self._routed: Upstream | None = None
        self._session: Session | None = None
        self._remote: Remote | None = None
        self._up = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        for listener in self._listeners.values():
            listener.listen(ports.BACKLOG)
        await self._spawn()

    async def keep(self) -> None:
        """Replaces a data plane that ends. Runs until cancelled."""
        while self._session:
            began_s = time.monotonic()
            code = await self._session.exited()
            self._up.clear()
            self._store.remove_process(self._session.identity)
            self._session.reap()
            if self._stopping:
                return
            log.error("the data plane ended: %s; starting another", describe_exit(code))
            if time.monotonic() - began_s < SHORT_LIFE_S:
                await asyncio.sleep(SHORT_LIFE_S)
            await self._spawn()

    async def route(self, upstream: Upstream | None) -> None:
        self._routed = upstream
        while True:
            await self._up.wait()
            remote = self._remote
            assert remote
            try:
                return await remote.route(upstream)
            except DataPlaneGone:
                if remote is self._remote:
                    self._up.clear()

    async def hold(self) -> None:
        self._routed = None
        await self._up.wait()
        assert self._remote
        with suppress(DataPlaneGone):
            await self._remote.hold()

    async def drained(self, upstream: Upstream) -> None:
        if self._remote:
            with suppress(DataPlaneGone):
                await self._remote.drained(upstream.id)

    async def forget(self, upstream: Upstream) -> Counts | None:
        if self._remote:
            with suppress(DataPlaneGone):
                return await self._remote.forget(upstream.id)
        return None

    async def close_listeners(self) -> None:
        """Takes no more connections; what is in flight goes on."""
        for listener in self._listeners.values():
            listener.close()
        if self._remote:
            with suppress(DataPlaneGone):
                await self._remote.close_listeners()

    async def stop(self) -> None:
        self._stopping = True
        if self._session:
            if self._remote:
                await self._remote.disconnect()
            await self._session.stop(STOP_GRACE_S)
            self._store.remove_process(self._session.identity)
        (self._data / SOCKET).unlink(missing_ok=True)

    async def _spawn(self) -> None:
        if self._remote:
            await self._remote.disconnect()
        with _control_socket(self._data) as control:
            settings = Settings(
                control_fd=control.fileno(),
                listener_fds={name: listener.fileno() for name, listener in self._listeners.items()},
                hold_timeout_s=self._hold_timeout_s,
                upstream=self._routed,
            )
            self._session = Session.start(
                [sys.executable, "-m", "slot_machine.proxy", msgspec.json.encode(settings).decode()],
                cwd=self._data,
                env=environment.inherited(),
                output=sys.stderr.fileno(),
                pass_fds=(control.fileno(), *settings.listener_fds.values()),
            )
        self._store.add_process(self._session.identity)
        self._remote = await Remote.connect(self._data / SOCKET)
        self._up.set()


def _control_socket(data: Path) -> socket.socket:
    """Listens at `proxy.sock`. Bound by way of /proc, as a socket's path may only have 107 bytes (unix(7))."""
    (data / SOCKET).unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX)
    folder = os.open(data, os.O_PATH | os.O_DIRECTORY)
    try:
        control.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        (data / SOCKET).chmod(0o600)
        control.listen()
    except BaseException:
        control.close()
        raise
    finally:
        os.close(folder)
    return control
