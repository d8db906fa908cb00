"""Reload: the edge executes itself again, with new code and settings, and a new Traefik takes the old one's place.

Each execution of the edge is an image. All images are the same process, so the running Traefik stays its child.
"""

import os
import socket
import subprocess
from typing import NoReturn, Self

import msgspec

from slot_machine.core.errors import EdgeRefused, StartRefused
from slot_machine.edge import binary
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.sockets import Set
from slot_machine.host.process import python

VARIABLE = "SLOT_MACHINE_EDGE_RELOAD"
FIXED = ("http_port", "https_port", "bind", "state")
"""Fields that a reload does not change."""
LIMIT_S = 30.0
HINT = "the edge goes on as it was"


class Left(msgspec.Struct, frozen=True):
    """A Traefik that runs on, and the pipe from its output."""

    pid: int
    output_fd: int


class Handed(msgspec.Struct, kw_only=True):
    """What one image passes to the next. Clients wait on these sockets during the reload."""

    clients_fd: int
    socket_fds: tuple[tuple[str, int], ...]
    """The listening sockets of the running Traefik."""
    running: Left
    admin_port: int
    retiring: tuple[Left, ...] = ()
    asker_fd: int = -1
    """The connection of who asked for the reload, and waits for the answer."""
    manager: str = ""
    """The address of systemd's socket."""

    @classmethod
    def inherited(cls) -> Self | None:
        """What the image before this one passed on. None in the first image."""
        text = os.environ.pop(VARIABLE, "")
        if not text:
            return None
        handed = msgspec.json.decode(text, type=cls)
        for fd in handed.fds:
            os.set_inheritable(fd, False)
        return handed

    @property
    def fds(self) -> tuple[int, ...]:
        outputs = (left.output_fd for left in (self.running, *self.retiring))
        found = (self.clients_fd, self.asker_fd, *(fd for _, fd in self.socket_fds), *outputs)
        return tuple(fd for fd in found if fd >= 0)

    @property
    def sockets(self) -> Set:
        return [(name, socket.socket(fileno=fd)) for name, fd in self.socket_fds]


class Answer(msgspec.Struct, frozen=True):
    """Of the new code, as `check` reads it: what a reload does not change."""

    fixed: dict[str, str | int]


def answer(settings: EdgeSettings) -> bytes:
    """What `edge start --check` prints. Raises StartRefused."""
    binary.find()
    return msgspec.json.encode(Answer(_fixed(settings)))


def check(settings: EdgeSettings) -> None:
    """Lets the new code read the new settings in a process of its own. Raises EdgeRefused. Blocks."""
    try:
        argv = [*python.this_one(), "--check"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False)
        if done.returncode:
            reason = _reason(done.stderr.decode(errors="replace")) or f"exit code {done.returncode}"
            raise EdgeRefused(f"nothing was reloaded: {reason}", HINT)
        new = msgspec.json.decode(done.stdout, type=Answer)
    except (OSError, subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
        raise EdgeRefused(f"nothing was reloaded: the new code can't be asked: {error}", HINT) from None
    for name, value in _fixed(settings).items():
        if new.fixed.get(name) != value:
            raise EdgeRefused(
                f"nothing was reloaded: a reload can't change {name} ({value} to {new.fixed.get(name)})",
                "restart the edge for that, which cuts its WebSockets",
            )


def again(handed: Handed) -> NoReturn:
    """Executes this process again, as the next image. In the main thread. Raises StartRefused."""
    for fd in handed.fds:
        os.set_inheritable(fd, True)
    os.environ[VARIABLE] = msgspec.json.encode(handed).decode()
    argv = python.this_one()
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        raise StartRefused(f"the edge ends, as it can't execute itself again: {error}") from None


def _fixed(settings: EdgeSettings) -> dict[str, str | int]:
    return {name: getattr(settings, name) for name in FIXED}


def _reason(err: str) -> str:
    """Of the line that begins with `error:`, else of the last one."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    wrong = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (wrong or lines[-1:] or [""])[0]
