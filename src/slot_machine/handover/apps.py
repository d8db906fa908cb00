"""What the keeper knows: runs of the app, and the sockets on which they listen."""

import os
import socket

from slot_machine.handover.relay import Relay
from slot_machine.handover.steering import Shape


class Denied(Exception):
    """The handover is impossible. The message says why."""


class App:
    """One run of the app. The process `leader` leads its session.

    `notifications` is a file descriptor, or -1 once all processes have ended. `obstacle`: why it can't take over.
    `retired`: it was live or is about to stop, and gets no new connections. `forgotten`: its processes are gone, and
    connections that it has not accepted are passed to the live run.
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
        """Whether another run may listen there. It may not on another address of a port: it could take connections."""
        return shape in self.shapes or all(own.port != shape.port for own in self.shapes)

    def __str__(self) -> str:
        return ", ".join(sorted(map(str, self.shapes))) or "nothing"


class Listener:
    """The keeper's duplicate of a listening socket. The socket stays in its group until both are closed."""

    def __init__(self, app: App, duplicate: socket.socket, shape: Shape) -> None:
        self.app = app
        self.socket = duplicate
        self.shape = shape
        self.inode = inode(duplicate)
        self.relay: Relay | None = None


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino
