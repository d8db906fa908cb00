"""What the keeper knows: apps, and the sockets on which they listen."""

import os
import socket

from slot_machine.handover.relay import Relay
from slot_machine.handover.steering import Shape


class Denied(Exception):
    """The message says what makes a handover impossible."""


class App:
    """One start of a version, whose session process `leader` leads.

    `notifications` is -1 once no process of it is left. `retired`: it was live, or is about to stop, and gets no new
    connections. `forgotten`: its processes are gone, so what it left goes on to the live one.
    """

    def __init__(self, run_id: int, ports: tuple[int, ...], leader: int, notifications: int) -> None:
        self.run_id = run_id
        self.ports = ports
        self.leader = leader
        self.notifications = notifications
        self.listeners: list[Listener] = []
        self.obstacle = ""
        self.retired = False
        self.forgotten = False

    @property
    def shapes(self) -> set[Shape]:
        return {listener.shape for listener in self.listeners}

    def has_room_for(self, shape: Shape) -> bool:
        """Whether another app may listen on that: another address of the same port could take connections from here."""
        return shape in self.shapes or all(own.port != shape.port for own in self.shapes)

    def __str__(self) -> str:
        return ", ".join(sorted(map(str, self.shapes))) or "nothing"


class Listener:
    """A listening socket of an app, in duplicate: it stays open, and in its group, until the keeper closes it, too."""

    def __init__(self, app: App, duplicate: socket.socket, shape: Shape) -> None:
        self.app = app
        self.socket = duplicate
        self.shape = shape
        self.inode = inode(duplicate)
        self.relay: Relay | None = None


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino
