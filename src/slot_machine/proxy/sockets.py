"""What the kernel knows of a socket and the event loop does not yet."""

import select


def readable(fd: int) -> bool:
    """Whether there is something to read: bytes, or the end."""
    return _polled(fd, select.POLLIN)


def ended_by_peer(fd: int) -> bool:
    """Whether the other side sends no more. Also seen where it is not read."""
    return _polled(fd, select.POLLRDHUP)


def _polled(fd: int, events: int) -> bool:
    poll = select.poll()
    poll.register(fd, events)
    return bool(poll.poll(0))
