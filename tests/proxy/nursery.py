"""Data-plane processes, forked off one that has imported everything: to do it anew takes longer than most tests."""

import os
import resource
import signal
from multiprocessing import get_context
from multiprocessing.reduction import DupFd
from typing import Protocol

import msgspec

from slot_machine.proxy.__main__ import main
from slot_machine.proxy.wire import Settings

nursery = get_context("forkserver")
nursery.set_forkserver_preload([__name__])


class File:
    """A file descriptor. On the other side it arrives as its number there."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[object, ...]:
        return _number, (DupFd(self._fd),)


class Process:
    def __init__(self, settings: Settings, open_files: int) -> None:
        """`open_files` is the limit for it, 0 for what there is."""
        listeners = {name: File(fd) for name, fd in settings.listener_fds.items()}
        args = (settings, File(settings.control_fd), File(settings.gauge_fd), listeners, open_files)
        self._process = nursery.Process(target=_live, args=args, daemon=True)
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def terminate(self) -> None:
        self._process.terminate()

    def send_signal(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code; None if it did not end."""
        self._process.join(timeout_s)
        return self._process.exitcode


class Sent(Protocol):
    def detach(self) -> int: ...


def _number(file: Sent) -> int:
    return file.detach()


def _live(settings: Settings, control: int, gauge: int, listeners: dict[str, int], open_files: int) -> None:
    if open_files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    settings = msgspec.structs.replace(settings, control_fd=control, gauge_fd=gauge, listener_fds=listeners)
    main(settings)
