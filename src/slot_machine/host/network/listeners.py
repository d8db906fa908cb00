"""Checks that the sockets which listen on the app's port belong to the app.

Until the app listens on its port, any program may bind to it, too. The kernel lets the first one of them listen
(socket(7), SO_REUSEADDR). From then on, no process of another user can listen on an overlapping address.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Protocol

from slot_machine.host.network import sockdiag
from slot_machine.host.network.sockdiag import BOUND, LISTEN, SocketInfo
from slot_machine.host.process import containment, proc

PUBLISHERS = ("docker-proxy", "rootlesskit", "rootlessport", "conmon")
"""Programs that listen for a container. They are no descendants of the command that started it."""

ROOT = 0


class Run(Protocol):
    @property
    def pid(self) -> int: ...

    def members(self) -> list[int]: ...


class Foreign(Exception):
    """Another program has a socket on the app's port."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Listeners:
    """Knows the listening sockets of one run. A socket that was found to be the app's is not checked again.

    Runs whose mark begins with one of `siblings` may share the port. Such runs share the set `known` of checked inodes.
    `doubts` are messages about what could not be checked.
    """

    def __init__(self, run: Run, siblings: tuple[str, ...] = (), known: set[int] | None = None) -> None:
        self.doubts: list[str] = []
        self._run = run
        self._siblings = siblings
        self._known = set() if known is None else known

    def at(self, host: str, port: int, states: tuple[int, ...] = (LISTEN,)) -> set[int]:
        """The inodes of all sockets that a connection to `host` may reach. Raises Foreign unless all are the app's.

        `states` may include BOUND, for sockets that do not listen yet. That takes the kernel 20 ms.
        """
        found = self._found(host, port, states)
        unknown = {socket.inode: socket for socket in found if socket.inode not in self._known}
        if unknown:
            self._check(unknown, port)
        return {socket.inode for socket in found}

    def seen(self, hosts: tuple[str, ...], port: int) -> set[int]:
        """The inodes of all sockets that listen there, without a check whose they are."""
        return {socket.inode for host in hosts for socket in self._found(host, port, (LISTEN,))}

    def answered(self, host: str, port: int) -> set[int]:
        """Like `at`, after a connection was accepted there: a doubt is noted if no socket is listed."""
        found = self.at(host, port)
        if not found and not self.doubts:
            self._doubt(port, "something answers there, but the kernel lists no socket")
        return found

    def own(self) -> list[SocketInfo]:
        """The listening sockets of all processes of the run that the daemon can see."""
        inodes: set[int] = set()
        for pid in self._processes():
            with suppress(OSError):
                inodes |= proc.sockets(pid)
        with suppress(OSError):
            return [found for found in sockdiag.listening() if found.inode in inodes]
        return []

    def _doubt(self, port: int, reason: str) -> None:
        doubt = f"cannot tell whether port {port} is the app's own: {reason}"
        if doubt not in self.doubts:
            self.doubts.append(doubt)

    def _found(self, host: str, port: int, states: tuple[int, ...]) -> list[SocketInfo]:
        try:
            return [found for found in sockdiag.of_port(port, states) if found.is_reached_by(host)]
        except OSError as error:
            self._doubt(port, f"the kernel does not list sockets: {error}")
            return []

    def _check(self, unknown: dict[int, SocketInfo], port: int) -> None:
        """Raises Foreign."""
        own: set[int] = set()
        uids: set[int] = {os.getuid(), os.geteuid()}
        hidden = False
        for pid in self._processes():
            with suppress(OSError):
                own |= unknown.keys() & proc.sockets(pid)
            if own == unknown.keys():
                break
            its = proc.uids(pid)
            uids |= its
            hidden = hidden or (not its and not proc.may_signal(pid))
        if own != unknown.keys():
            # Listed again, because some may have been closed since.
            still = {socket.inode for socket in sockdiag.of_port(port, (LISTEN, BOUND))}
            for inode in unknown.keys() & still - own:
                self._judge(unknown[inode], port, uids, hidden=hidden)
        self._known |= unknown.keys()

    def _processes(self) -> Iterator[int]:
        """The pids of the run, those that most likely listen first."""
        seen = {self._run.pid}
        yield self._run.pid
        for pid in proc.child_tree(self._run.pid):
            seen.add(pid)
            yield pid
        yield from (pid for pid in self._run.members() if pid not in seen)

    def _judge(self, socket: SocketInfo, port: int, uids: set[int], *, hidden: bool) -> None:
        """Decides about a socket that no visible process of the app has. Raises Foreign."""
        pid = proc.find_with_open({f"socket:[{socket.inode}]"})
        mark = containment.mark_of(pid) if pid else ""
        if socket.uid in uids and mark.startswith(self._siblings):
            return
        trusted = socket.uid in uids or socket.uid == ROOT
        if trusted and (publisher := _publisher(pid, port)):
            self._doubt(port, f"process {proc.named(publisher)} has it, it seems for a container")
        elif pid and socket.uid in uids and not mark and _came_of(pid, os.getpid()):
            self._doubt(port, f"process {proc.named(pid)} has it, and may have left the app")
        elif not pid and (hidden or socket.uid in uids):
            self._doubt(port, f"a process of uid {socket.uid} has it, whose descriptors can't be read")
        else:
            raise Foreign(*_in_words(socket, port, pid))


def _publisher(listening: int | None, port: int) -> int:
    """The pid of the process that publishes this port for a container; 0 if there is none.

    `listening` is the process that has the socket. If it can't be seen, a publisher is found by the port among its
    arguments.
    """
    for pid in [listening] if listening else (pid for pid, _ in proc.stats()):
        words = proc.command_line(pid).split()
        if words and os.path.basename(words[0]) in PUBLISHERS and (listening or str(port) in words):
            return pid
    return 0


def _came_of(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        stat = proc.stat(pid)
        pid = stat.parent if stat else 0
    return pid == ancestor


def _in_words(socket: SocketInfo, port: int, pid: int | None) -> tuple[str, str]:
    who = f"pid {proc.named(pid)}" if pid else "a process"
    does = "listens on" if socket.state == LISTEN else "is bound to"
    host = f"[{socket.host}]" if socket.host.version == 6 else str(socket.host)
    end = f"process {pid}" if pid else f"that process (as root, `ss -ltnp sport = :{port}` tells which it is)"
    return f"port {port} is not the app's: {who} of uid {socket.uid} {does} {host}:{port}", f"end {end}, and try again"
