"""What the kernel knows of a socket before the event loop does."""

import asyncio
import fcntl
import select
import sys
import termios


def fileno(transport: asyncio.BaseTransport) -> int:
    fd: int = transport.get_extra_info("socket").fileno()
    return fd


def readable(fd: int) -> bool:
    """Whether bytes, or the end of the connection, can be read."""
    return _polled(fd, select.POLLIN)


def ended_by_peer(fd: int) -> bool:
    """Whether the other side has closed, or shut down sending. It is known even while the socket is not read."""
    return _polled(fd, select.POLLRDHUP)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the other side has not acknowledged, in the transport and in the kernel (tcp(7): SIOCOUTQ)."""
    queued = fcntl.ioctl(fileno(transport), termios.TIOCOUTQ, bytes(4))
    return transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)


def _polled(fd: int, events: int) -> bool:
    poll = select.poll()
    poll.register(fd, events)
    return bool(poll.poll(0))
