"""Commands that run to their end while their output is read."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from slot_machine.host.containment import MARK, new_mark
from slot_machine.host.proc import Identity
from slot_machine.host.processes import Session


async def run(argv: list[str], cwd: Path, env: Mapping[str, str], owner: str) -> tuple[int, str, str]:
    """Returns exit code, stdout and stderr. A cancelled command is killed. `owner` is one of `containment`."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env={**env, MARK: new_mark(owner)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace")


async def run_shell(
    command: str,
    cwd: Path,
    env: Mapping[str, str],
    owner: str,
    on_start: Callable[[Identity], None],
    on_line: Callable[[str], None],
) -> int:
    """Runs `command` with /bin/sh, hands over each line it prints, and returns its exit code.

    Whatever it leaves running is killed: a setup has no say once it is over. So is a cancelled one.
    """
    reader_fd, writer_fd = os.pipe()
    try:
        session = Session.start(["/bin/sh", "-c", command], cwd=cwd, env=env, output=writer_fd, owner=owner)
    except OSError:
        os.close(reader_fd)
        raise
    finally:
        os.close(writer_fd)
    with open(reader_fd, "rb", buffering=0) as pipe:
        lines = asyncio.create_task(_read_lines(pipe.fileno(), on_line))
        try:
            on_start(session.identity)
            code = await session.exited()
        finally:
            await session.kill()
            await lines
    return code


async def _read_lines(fd: int, on_line: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    ended = asyncio.Event()
    rest = b""

    def read() -> None:
        nonlocal rest
        chunk = os.read(fd, 65536)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            on_line(line.decode(errors="replace").rstrip("\r"))
        if not chunk:
            ended.set()

    loop.add_reader(fd, read)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        if rest:
            on_line(rest.decode(errors="replace"))
