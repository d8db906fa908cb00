"""The runs that listen on the port: which one is live, and how those that were live are retired."""

import asyncio
import os
from collections.abc import Callable

from slot_machine.handover import connections, retirement
from slot_machine.handover.apps import App, Denied, Listener
from slot_machine.handover.relay import Relay, can_share
from slot_machine.handover.steering import Group, Shape

LINGER_S = 1.0
"""How long connections to a run that has ended are still passed on."""


class Keeper:
    """Runs, and the groups of their listening sockets. `on_change` is called after every change."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.apps: dict[int, App] = {}
        self.live: App | None = None
        self._on_change = on_change
        self._groups: dict[Shape, Group[Listener]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()

    @property
    def needed(self) -> bool:
        """Whether any process is left whose system calls only the keeper can answer."""
        return any(app.notifications != -1 for app in self.apps.values())

    @property
    def inodes(self) -> set[int]:
        """The inodes of all listening sockets that the keeper knows."""
        return {listener.inode for group in self._groups.values() for listener in group.members}

    def add(self, app: App) -> None:
        self.apps[app.run_id] = app
        self.changed()

    async def listens(self, run_id: int) -> None:
        """Waits until the run listens wherever the live one does. Raises Denied if it can't."""
        await self._until(lambda: run_id in self.apps)
        app = self.apps[run_id]
        await self._until(lambda: bool(app.obstacle) or (bool(app.shapes) and self._covers(app)))
        if app.obstacle:
            raise Denied(app.obstacle)

    def obstacle(self, run_id: int) -> str:
        """Why the run can't take over from the live one. Empty if no reason is known."""
        app = self.apps.get(run_id)
        if not app:
            return ""
        if not app.obstacle and app.shapes and not self._covers(app):
            return f"it listens on {app}, where the live version listens on {self.live}"
        return app.obstacle

    def promote(self, run_id: int | None) -> None:
        """Gives new connections to this run, None for no run at all. Raises Denied."""
        app = self.apps.get(run_id) if run_id is not None else None
        if app and not app.retired and not self._covers(app):
            raise Denied(self.obstacle(app.run_id) or "it listens nowhere")
        if self.live:
            self.live.retired = True
        if app:
            app.retired = False
        self.live = app
        if not app:
            self.remove_forgotten()
        for group in self._groups.values():
            self._steer(group)
        self.changed()

    async def drained(self, run_id: int) -> None:
        """Waits until the run has no connections. Returns at once if no other run is live."""
        app = self.apps.get(run_id)
        if app and self._another_is_live(app):
            await retirement.drained(app)

    def relay(self, run_id: int) -> None:
        """Passes connections that arrive at the run to the live one."""
        app = self.apps.get(run_id)
        if app and self._another_is_live(app):
            app.retired = True
            for listener in app.listeners:
                if not listener.relay and can_share(listener.socket):
                    listener.relay = Relay(listener.socket)

    def forget(self, run_id: int) -> None:
        """Closes the sockets of a run that has ended, after LINGER_S if another run is live."""
        app = self.apps.get(run_id)
        if not app:
            return
        for listener in app.listeners:
            listener.socket.setblocking(False)
        self.relay(run_id)
        app.forgotten = True
        if self._another_is_live(app):
            self._loop.call_later(LINGER_S, self._remove, app)
        else:
            self._remove(app)

    def processes_ended(self, app: App) -> None:
        """Called when all processes of the app have ended."""
        app.notifications = -1
        if not app.retired:
            self._remove(app)
        self.changed()

    def remove_forgotten(self) -> None:
        """Removes runs before LINGER_S is over: when another socket is about to join a group, or no run is live."""
        for app in [*self.apps.values()]:
            if app.forgotten:
                self._remove(app)

    def join(self, listener: Listener, process: int) -> None:
        """Adds a socket on which `process` begins to listen."""
        app = listener.app
        if any(known.inode == listener.inode for known in app.listeners):
            listener.socket.close()
            return
        app.listeners.append(listener)
        group = self._groups.setdefault(listener.shape, Group())
        group.join(listener)
        self._steer(group)
        self._watch(listener, process)
        self.changed()

    def changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        self._on_change()

    def _watch(self, listener: Listener, process: int) -> None:
        try:
            pidfd = os.pidfd_open(process)
        except ProcessLookupError:
            self._loop.call_soon(self._without_process, listener)
        else:
            self._loop.add_reader(pidfd, self._process_ended, listener, pidfd)

    def _process_ended(self, listener: Listener, pidfd: int) -> None:
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        self._without_process(listener)

    def _without_process(self, listener: Listener) -> None:
        """Closes a socket that no other process of the app has: clients must be refused, not left waiting."""
        app = listener.app
        if (app.retired and self._another_is_live(app)) or listener not in app.listeners:
            return
        if successor := connections.process_with(app.leader, listener.inode):
            self._watch(listener, successor)
        else:
            self._close(listener)

    def _close(self, listener: Listener) -> None:
        if listener.relay:
            listener.relay.close()
        listener.socket.close()
        app = listener.app
        app.listeners.remove(listener)
        group = self._groups[listener.shape]
        group.leave(listener)
        if group.members:
            self._steer(group)
        else:
            del self._groups[listener.shape]
        if app is self.live and not app.listeners:
            self.promote(None)
        self.changed()

    def _steer(self, group: Group[Listener]) -> None:
        serving = [member for member in group.members if member.app is self.live]
        candidates = [member for member in group.members if member.app is not self.live and not member.app.retired]
        group.steer(serving or candidates or group.members, candidates)

    def _remove(self, app: App) -> None:
        for listener in [*app.listeners]:
            self._close(listener)
        if app.notifications == -1 and (app.forgotten or not app.obstacle):
            self.apps.pop(app.run_id, None)
        self.changed()

    def _another_is_live(self, app: App) -> bool:
        return self.live is not None and self.live is not app

    def _covers(self, app: App) -> bool:
        """Whether the run listens wherever the live one does, on the ports that both have."""
        others = self.live.shapes if self.live and self._another_is_live(app) else set()
        return {shape for shape in others if shape.port in app.ports} <= app.shapes

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting
