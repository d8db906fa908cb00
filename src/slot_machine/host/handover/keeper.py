"""Who is bound to the port, who of them is live, and what becomes of those that were."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress

from slot_machine.host.handover import connections, notify
from slot_machine.host.handover.notify import Gone, Notification
from slot_machine.host.handover.relay import Relay, can_share
from slot_machine.host.handover.steering import Group, Shape

log = logging.getLogger(__name__)

SETTLE_S = 1.0
"""The longest wait for handshakes that had begun before a promotion."""
LINGER_S = 1.0
"""How long what still arrives at a version that is gone is passed on."""
FIRST_INTERVAL_S, LONGEST_INTERVAL_S = 0.002, 0.1


class Refused(Exception):
    """The message says what makes a handover impossible."""


class App:
    """One start of a version. `retired`: it was live, or is about to stop, and gets no new connections."""

    def __init__(self, number: int, ports: tuple[int, ...], leader: int, notifications: int) -> None:
        self.number = number
        self.ports = ports
        self.leader = leader
        self.notifications = notifications
        self.listeners: list[Listener] = []
        self.refusal = ""
        self.retired = False
        self.forgotten = False

    @property
    def shapes(self) -> set[Shape]:
        return {listener.shape for listener in self.listeners}


class Listener:
    """A listening socket of an app, in duplicate: it stays open, and in its group, until the keeper closes it, too."""

    def __init__(self, app: App, duplicate: socket.socket, shape: Shape) -> None:
        self.app = app
        self.socket = duplicate
        self.shape = shape
        self.inode = os.fstat(duplicate.fileno()).st_ino
        self.relay: Relay | None = None


class Keeper:
    """Everything happens on one event loop, and nothing that a notification waits for awaits anything."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self.apps: dict[int, App] = {}
        self.live: App | None = None
        self._on_change = on_change
        self._groups: dict[Shape, Group[Listener]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()

    @property
    def needed(self) -> bool:
        """Whether there is a process that could make a call which only the keeper can answer."""
        return any(app.notifications != -1 for app in self.apps.values())

    def attend(self, app: App) -> None:
        self.apps[app.number] = app
        self._loop.add_reader(app.notifications, self._notified, app)
        self._changed()

    async def listens(self, number: int) -> None:
        """Raises Refused."""
        await self._until(lambda: number in self.apps)
        app = self.apps[number]
        await self._until(lambda: bool(app.refusal) or (bool(app.shapes) and self._covers(app)))
        if app.refusal:
            raise Refused(app.refusal)

    def refusal(self, number: int) -> str:
        """Why that app can't take over from the live one, as far as it can be seen by now."""
        app = self.apps.get(number)
        if not app:
            return ""
        if not app.refusal and app.shapes and not self._covers(app):
            return f"it listens on {_names(app)}, where the live version listens on {_names(self.live)}"
        return app.refusal

    def promote(self, number: int | None) -> None:
        """Raises Refused."""
        app = self.apps.get(number) if number is not None else None
        if app and not self._covers(app):
            raise Refused(self.refusal(app.number) or "it listens nowhere")
        if self.live:
            self.live.retired = True
        if app:
            app.retired = False
        self.live = app
        if not app:
            self._bury_forgotten()
        for group in self._groups.values():
            self._steer(group)
        self._changed()

    async def drained(self, number: int) -> None:
        """Returns at once where there is no other version to take over."""
        app = self.apps.get(number)
        if not app or self.live in (app, None):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._settled(app)
        await _twice(lambda: not self._busy(app))

    def relay(self, number: int) -> None:
        app = self.apps.get(number)
        if app and self.live not in (app, None):
            app.retired = True
            for listener in app.listeners:
                if not listener.relay and can_share(listener.socket):
                    listener.relay = Relay(listener.socket)

    def forget(self, number: int) -> None:
        app = self.apps.get(number)
        if not app:
            return
        for listener in app.listeners:
            listener.socket.setblocking(False)
        self.relay(number)
        app.forgotten = True
        if self.live in (app, None):
            self._bury(app)
        else:
            self._loop.call_later(LINGER_S, self._bury, app)

    def _notified(self, app: App) -> None:
        if notify.hung_up(app.notifications):
            self._abandoned(app)
            return
        try:
            notification = Notification.receive(app.notifications)
        except Gone:
            return
        try:
            error = self._bind(app, notification) if notification.binds else self._listen(app, notification)
        except Gone:
            return
        except OSError as failure:
            app.refusal = app.refusal or str(failure)
            error = None
        except Exception:
            notification.let_pass()
            raise
        if error is None:
            notification.let_pass()
        else:
            notification.answer(error)
        self._changed()

    def _bind(self, app: App, notification: Notification) -> int | None:
        """The errno of what was done, 0 for success; None if the call is none of our business."""
        address = notification.address()
        family, port = int.from_bytes(address[:2], "little"), int.from_bytes(address[2:4], "big")
        if family not in (socket.AF_INET, socket.AF_INET6) or port not in app.ports:
            return None
        duplicate = notification.socket()
        with duplicate:
            if duplicate.type != socket.SOCK_STREAM:
                return None
            error = notify.bind(duplicate, address)
        if error == errno.EADDRINUSE:
            app.refusal = f"port {port} can't be bound beside the live version"
        return error

    def _listen(self, app: App, notification: Notification) -> int | None:
        """Like `_bind`."""
        duplicate = notification.socket()
        shape = Shape.of(duplicate)
        if not shape or shape.port not in app.ports:
            duplicate.close()
            return None
        if self.live and self.live is not app and not self._fits(shape, self.live):
            duplicate.close()
            app.refusal = f"it listens on {shape}, where the live version listens on {_names(self.live)}"
            return errno.EADDRINUSE
        if connections.listening(shape.port) - self._known:
            duplicate.close()
            app.refusal = f"another program is bound to port {shape.port}"
            return errno.EADDRINUSE
        self._bury_forgotten()
        try:
            duplicate.listen(notification.backlog)
        except OSError as failure:
            duplicate.close()
            return failure.errno
        self._join(Listener(app, duplicate, shape), notification.process())
        return 0

    @property
    def _known(self) -> set[int]:
        return {listener.inode for app in self.apps.values() for listener in app.listeners}

    def _fits(self, shape: Shape, live: App) -> bool:
        """Another shape on the same port could take the live version's connections before its time."""
        return shape in live.shapes or all(other.port != shape.port for other in live.shapes)

    def _join(self, listener: Listener, process: int) -> None:
        app = listener.app
        if any(known.inode == listener.inode for known in app.listeners):
            listener.socket.close()
            return
        app.listeners.append(listener)
        group = self._groups.setdefault(listener.shape, Group())
        group.join(listener)
        self._steer(group)
        self._watch(listener, process)

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
        """Its socket may live on in another process of the app. If not, the port must refuse: nobody would accept."""
        app = listener.app
        taken_over = app.retired and self.live not in (app, None)
        if taken_over or listener not in app.listeners:
            return
        if heir := connections.holder(app.leader, listener.inode):
            self._watch(listener, heir)
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
        self._changed()

    def _steer(self, group: Group[Listener]) -> None:
        serving = [member for member in group.members if member.app is self.live]
        candidates = [member for member in group.members if member.app is not self.live and not member.app.retired]
        group.steer(serving or candidates or group.members, candidates)

    def _abandoned(self, app: App) -> None:
        """No process of it is left."""
        self._loop.remove_reader(app.notifications)
        os.close(app.notifications)
        app.notifications = -1
        if not app.retired:
            self._bury(app)
        self._changed()

    def _bury(self, app: App) -> None:
        for listener in [*app.listeners]:
            self._close(listener)
        if app.notifications == -1 and (app.forgotten or not app.refusal):
            self.apps.pop(app.number, None)
        self._changed()

    def _bury_forgotten(self) -> None:
        """Before another joins, so that only the last one of a group ever has to move; and when nobody takes over."""
        for app in [*self.apps.values()]:
            if app.forgotten:
                self._bury(app)

    def _covers(self, app: App) -> bool:
        """Whether it listens wherever the live one does, as far as it has the same ports."""
        others = self.live.shapes if self.live and self.live is not app else set()
        return {shape for shape in others if shape.port in app.ports} <= app.shapes

    async def _settled(self, app: App) -> None:
        begun = _handshakes(app)
        await _once(lambda: begun.isdisjoint(_handshakes(app)))

    def _busy(self, app: App) -> bool:
        """In the order in which a connection goes on, so that none slips through."""
        return any(connections.accept_queue(listener.socket) for listener in app.listeners) or any(
            connections.carries_any(app.leader, port) for port in app.ports
        )

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting

    def _changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
        self._on_change()


def _handshakes(app: App) -> set[bytes]:
    return {ends for port in app.ports for ends in connections.handshakes(port)}


def _names(app: App | None) -> str:
    return ", ".join(sorted(map(str, app.shapes))) if app else "nothing"


async def _once(condition: Callable[[], bool]) -> None:
    """Asks at intervals that grow: the kernel does not tell."""
    interval_s = FIRST_INTERVAL_S
    while not condition():
        await asyncio.sleep(interval_s)
        interval_s = min(interval_s * 1.5, LONGEST_INTERVAL_S)


async def _twice(condition: Callable[[], bool]) -> None:
    """True twice in a row: for an instant, a connection is in no queue any more and in no process yet."""
    again = False
    while not again:
        await _once(condition)
        await asyncio.sleep(FIRST_INTERVAL_S)
        again = condition()
