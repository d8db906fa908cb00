"""Commands that run to their end while their output is read."""

import asyncio
import errno
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from slot_machine.host.process.proc import Identity
from slot_machine.host.process.session import Session

ROOT = Path("/")
"""The current folder of a command that enters a folder of `user` itself, with the rights of `user`."""

PIECE = 65_536
MOST_STDOUT = 134_217_728
"""Enough for the names of a million files."""

MOST_STDERR = 16_384


async def run(
    argv: list[str],
    cwd: Path,
    env: Mapping[str, str],
    owner: str,
    on_output: Callable[[bytes], None] | None = None,
    *,
    as_daemon: bool = False,
    given: bytes = b"",
    on_errors: Callable[[], None] | None = None,
) -> tuple[int, str, str]:
    """Returns the exit code, stdout and the end of stderr. Kills the command if it is cancelled.

    `given` is what it reads from stdin. It has the rights of `user`, or those of the daemon with `as_daemon`. `owner`:
    `containment.owner`. With `on_output`, stdout is passed to it and not returned. `on_errors` is called
    whenever it prints to stderr. Raises OSError, also for more than MOST_STDOUT bytes.
    """
    kept = _Kept(lambda: session.signal(signal.SIGKILL), on_errors or (lambda: None))
    with _pipe(on_output or kept.printed) as stdout, _pipe(kept.complained) as stderr, _file(given) as stdin:
        session = Session.start(
            argv,
            cwd=cwd,
            env=env,
            output=stdout,
            errors=stderr,
            owner=owner,
            contained=False,
            as_daemon=as_daemon,
            given=stdin,
        )
        try:
            code = await session.exited()
        except asyncio.CancelledError:
            await session.kill()
            raise
        session.reap()
    if len(kept.out) > MOST_STDOUT:
        raise OSError(errno.EFBIG, f"{argv[0]} printed more than {MOST_STDOUT} bytes")
    return code, kept.out.decode(errors="replace"), kept.err.decode(errors="backslashreplace")


@dataclass
class _Kept:
    """What a command has printed. `on_too_much` is called for each piece of stdout that is not kept."""

    on_too_much: Callable[[], None]
    on_errors: Callable[[], None]
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)

    def printed(self, piece: bytes) -> None:
        if len(self.out) <= MOST_STDOUT:
            self.out.extend(piece)
        else:
            self.on_too_much()

    def complained(self, piece: bytes) -> None:
        self.err.extend(piece)
        del self.err[:-MOST_STDERR]
        self.on_errors()


async def run_shell(
    command: str,
    cwd: Path,
    env: Mapping[str, str],
    owner: str,
    on_start: Callable[[Identity], None],
    on_output: Callable[[bytes], None],
) -> int:
    """Runs `command` with /bin/sh, passes its output to `on_output`, and returns its exit code.

    Processes that it leaves running are killed. The command is killed if it is cancelled. Raises OSError.
    """
    with _pipe(on_output) as output:
        session = Session.start(["/bin/sh", "-c", command], cwd=cwd, env=env, output=output, owner=owner)
        try:
            on_start(session.identity)
            return await session.exited()
        finally:
            await session.kill()


@contextmanager
def _file(content: bytes) -> Iterator[int]:
    """A file in memory, to be read from its beginning."""
    fd = os.memfd_create("input")
    try:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _pipe(on_output: Callable[[bytes], None]) -> Iterator[int]:
    """A pipe's writing end. On exit it reads the rest, but not until EOF, which never comes if a process stays."""
    loop = asyncio.get_running_loop()
    source, target = os.pipe()
    loop.add_reader(source, lambda: on_output(os.read(source, PIECE)))
    try:
        yield target
    finally:
        loop.remove_reader(source)
        left = struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, bytes(4)))[0]
        while left > 0:
            piece = os.read(source, min(left, PIECE))
            on_output(piece)
            left -= len(piece)
        os.close(source)
        os.close(target)
