"""System calls of other processes that wait for our answer. seccomp_unotify(2), pidfd_getfd(2)"""

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
from contextlib import suppress
from typing import Self

from slot_machine.handover.seccomp import libc, numbers, system_call

RECEIVE, SEND, ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
CONTINUE = 1
REQUEST = struct.Struct("QIIiIQ6Q")
"""struct seccomp_notif."""
REPLY = struct.Struct("QqiI")
"""struct seccomp_notif_resp."""
LARGEST_OFFSET = 2**63 - 1


class Gone(OSError):
    """The thread no longer waits for the answer."""


class Notification:
    """A `bind` or `listen` call of another process. Must be answered once, by `answer` or `let_pass`."""

    def __init__(self, fd: int, number: int, thread: int, call: int, args: tuple[int, ...]) -> None:
        self._fd = fd
        self._number = number
        self._thread = thread
        self._call = call
        self._args = args

    @classmethod
    def receive(cls, fd: int) -> Self:
        """Reads the next one. Raises Gone if the call was interrupted."""
        buffer = bytearray(REQUEST.size)
        _control(fd, RECEIVE, buffer)
        number, thread, _, call, _, _, *args = REQUEST.unpack(buffer)
        return cls(fd, number, thread, call, tuple(args))

    @property
    def binds(self) -> bool:
        return self._call == numbers()["bind"]

    @property
    def backlog(self) -> int:
        """The backlog of a `listen`."""
        return ctypes.c_int(self._args[1]).value

    def process(self) -> int:
        """The pid of the process that made the call. Raises Gone."""
        try:
            with open(f"/proc/{self._thread}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
        except (FileNotFoundError, ProcessLookupError):
            raise Gone(errno.ENOENT, "the process ended") from None

    def address(self) -> bytes:
        """The sockaddr of a `bind`. Empty for a pointer that no process can have. Raises OSError, Gone."""
        pointer, length = self._args[1:3]
        if pointer > LARGEST_OFFSET:
            return b""
        memory = os.open(f"/proc/{self._thread}/mem", os.O_RDONLY)
        try:
            content = os.pread(memory, min(length, 128), pointer)
        finally:
            os.close(memory)
        self._check()
        return content

    def socket(self) -> socket.socket:
        """A duplicate of the socket. Raises OSError, also for what is no socket, and Gone."""
        pidfd = os.pidfd_open(self.process())
        try:
            self._check()
            fd = system_call("pidfd_getfd", pidfd, ctypes.c_int(self._args[0]), 0)
        finally:
            os.close(pidfd)
        try:
            return socket.socket(fileno=fd)
        except OSError:
            os.close(fd)
            raise

    def answer(self, error: int = 0) -> None:
        """Makes the call return 0, or fail with this errno."""
        self._reply(-error, 0)

    def let_pass(self) -> None:
        """Lets the kernel do the call as usual."""
        self._reply(0, CONTINUE)

    def _check(self) -> None:
        _control(self._fd, ID_VALID, bytearray(struct.pack("Q", self._number)))

    def _reply(self, error: int, flags: int) -> None:
        with suppress(Gone):
            _control(self._fd, SEND, bytearray(REPLY.pack(self._number, 0, error, flags)))


def hung_up(fd: int) -> bool:
    """Whether all processes with the filter have ended."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def bind(duplicate: socket.socket, address: bytes) -> int:
    """bind(2) to a raw sockaddr, with SO_REUSEPORT, so that others can be bound there. Returns an errno, or 0."""
    duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return ctypes.get_errno() if libc.bind(duplicate.fileno(), address, len(address)) else 0


def _control(fd: int, request: int, buffer: bytearray) -> None:
    try:
        fcntl.ioctl(fd, request, buffer)
    except FileNotFoundError as error:
        raise Gone(errno.ENOENT, "the call was given up") from error
