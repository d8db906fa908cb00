"""Answers the `bind` and `listen` calls of apps: does them on a duplicate of the socket, if the port is handed over."""

import asyncio
import errno
import os
import socket

from slot_machine.handover import connections, notify
from slot_machine.handover.apps import App, Listener, inode
from slot_machine.handover.keeper import Keeper
from slot_machine.handover.notify import Gone, Notification
from slot_machine.handover.steering import Shape


class Answering:
    """Answers without an await, because the app stands still until it has its answer."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()

    def attend(self, app: App) -> None:
        self._loop.add_reader(app.notifications, self._notified, app)
        self._keeper.add(app)

    def _notified(self, app: App) -> None:
        if notify.hung_up(app.notifications):
            self._loop.remove_reader(app.notifications)
            os.close(app.notifications)
            self._keeper.processes_ended(app)
            return
        try:
            notification = Notification.receive(app.notifications)
        except Gone:
            return
        try:
            error = self._bind(app, notification) if notification.binds else self._listen(app, notification)
        except OSError as failure:
            error = None
            if not isinstance(failure, Gone):
                self._deny(app, str(failure))
        except Exception:
            notification.let_pass()
            raise
        if error is None:
            notification.let_pass()
        else:
            notification.answer(error)

    def _bind(self, app: App, notification: Notification) -> int | None:
        """Binds the socket for the app. Returns an errno, or 0. None if the kernel shall do the call itself."""
        address = notification.address()
        family, port = int.from_bytes(address[:2], "little"), int.from_bytes(address[2:4], "big")
        if family not in (socket.AF_INET, socket.AF_INET6) or port not in app.ports:
            return None
        with notification.socket() as duplicate:
            if duplicate.type != socket.SOCK_STREAM:
                return None
            error = notify.bind(duplicate, address)
        if error == errno.EADDRINUSE:
            self._deny(app, f"port {port} can't be bound beside what is bound to it")
        return error

    def _listen(self, app: App, notification: Notification) -> int | None:
        """Listens for the app. Returns like `_bind`."""
        process = notification.process()
        duplicate = notification.socket()
        shape = Shape.of(duplicate)
        if not shape or shape.port not in app.ports:
            duplicate.close()
            return None
        if obstacle := self._obstacle(app, shape, duplicate):
            duplicate.close()
            self._deny(app, obstacle)
            return errno.EADDRINUSE
        self._keeper.remove_forgotten()
        try:
            duplicate.listen(notification.backlog)
        except OSError as failure:
            duplicate.close()
            return failure.errno
        self._keeper.join(Listener(app, duplicate, shape), process)
        return 0

    def _obstacle(self, app: App, shape: Shape, duplicate: socket.socket) -> str:
        live = self._keeper.live
        if live and live is not app and not live.has_room_for(shape):
            return f"it listens on {shape}, where the live version listens on {live}"
        if connections.listening(shape.port) - self._keeper.inodes - {inode(duplicate)}:
            return f"another program is bound to port {shape.port}"
        return ""

    def _deny(self, app: App, obstacle: str) -> None:
        """Keeps the first obstacle only: later ones may be its consequences."""
        app.obstacle = app.obstacle or obstacle
        self._keeper.changed()
