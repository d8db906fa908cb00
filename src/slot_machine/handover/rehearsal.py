"""Tests whether this machine allows a handover, with a child process that binds a port."""

import os
import select
import socket

from slot_machine.handover import connections, notify, seccomp
from slot_machine.handover.notify import Notification

LIMIT_S = 5.0


def rehearse() -> str:
    """Returns the obstacle, or an empty string. Forks, so call it before there are threads."""
    here, there = socket.socketpair()
    with here, there:
        child = os.fork()
        if child == 0:
            os._exit(_bind_under_filter(there))
        there.close()
        try:
            return _answer_bind(here)
        except OSError as error:
            return _in_words(error)
        finally:
            here.close()
            os.waitpid(child, 0)


def _in_words(error: OSError) -> str:
    return error.strerror or str(error)


def _bind_under_filter(watcher: socket.socket) -> int:
    try:
        notifications = seccomp.install()
    except OSError as error:
        watcher.send(_in_words(error).encode())
        return 1
    socket.send_fds(watcher, [b"-"], [notifications])
    os.close(notifications)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
    return 0


def _answer_bind(player: socket.socket) -> str:
    message, fds, _, _ = socket.recv_fds(player, 1000, 1)
    if not fds:
        return message.decode() or "the rehearsal ended early"
    try:
        if not select.select(fds, [], [], LIMIT_S)[0]:
            return "no notification came"
        notification = Notification.receive(fds[0])
        with notification.socket() as duplicate:
            error = notify.bind(duplicate, notification.address())
            connections.listening(duplicate.getsockname()[1])
        notification.answer(error)
        return os.strerror(error) if error else ""
    finally:
        os.close(fds[0])
