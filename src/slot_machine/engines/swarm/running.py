"""What becomes of a job's output: lines of a deploy, or this command's own. And a command with a terminal or input."""

import fcntl
import os
import shlex
import stat
import sys
import termios
from collections import deque
from collections.abc import Generator, Sequence

from slot_machine.core.errors import NothingLive
from slot_machine.engines.client import Client
from slot_machine.engines.image.layout import ENTRYPOINT, command
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import names, nodes, timing
from slot_machine.engines.swarm.docker import PROGRAM, Docker
from slot_machine.engines.swarm.output import Piece
from slot_machine.engines.swarm.rollout import Seen
from slot_machine.host import printing

LIMIT_S = 86_400.0


def lines(pieces: Generator[Piece, None, int]) -> Generator[str, None, int]:
    """Each line once it is whole. Both streams are one."""
    left = {False: b"", True: b""}
    try:
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                yield from (part.decode(errors="replace") for part in left.values() if part)
                return int(end.value)
            *whole, left[piece.is_error] = (left[piece.is_error] + piece.data).split(b"\n")
            yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
    finally:
        pieces.close()


def kept(lines: Generator[str, None, int], last: deque[str]) -> Generator[str, None, int]:
    """The same lines, which are put into `last` as well."""
    try:
        while True:
            try:
                line = next(lines)
            except StopIteration as end:
                return int(end.value)
            last.append(line)
            yield line
    finally:
        lines.close()


def printed(pieces: Generator[Piece, None, int]) -> int:
    """To our stdout and stderr, byte by byte."""
    try:
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                return int(end.value)
            stream = sys.stderr.buffer if piece.is_error else sys.stdout.buffer
            stream.write(piece.data)
            stream.flush()
    finally:
        pieces.close()


def words(argv: Sequence[str]) -> Sequence[str]:
    """For the shim, which takes a single one for a command line."""
    return argv if len(argv) > 1 else [shlex.quote(argv[0])]


def has_input() -> bool:
    """Whether our stdin is a file or a pipe with something in it."""
    try:
        found = os.fstat(sys.stdin.fileno())
        if stat.S_ISREG(found.st_mode):
            return found.st_size > 0
        waiting = fcntl.ioctl(sys.stdin.fileno(), termios.FIONREAD, bytes(4))
    except (OSError, ValueError, AttributeError):
        return False
    return any(waiting)


def beside(docker: Docker, app: App, seen: Seen, argv: Sequence[str], *, terminal: bool) -> int:
    """A job of a swarm has no terminal and no stdin, so the command runs in a copy of the app. Raises NothingLive."""
    web = next((one.id for one in seen.services if one.process == names.WEB), "")
    copy = next((task for task in seen.tasks if task.service_id == web and task.runs and task.container), None)
    if not copy:
        raise NothingLive("no copy of the app runs, in which a command could", "`slot-machine status` shows why")
    node = seen.nodes.get(copy.node_id, "")
    what = "a terminal" if terminal else "input"
    printing.note(f"in the copy {copy.id[:12]} on {node}: a command with {what} gets none of its own")
    here = docker.lines("info", "--format", "{{.Swarm.NodeID}}") == [copy.node_id]
    client = (
        docker.client if here else Client(PROGRAM, "--host", f"ssh://{nodes.place(node, timing.settings(app).nodes)}")
    )
    run = argv if app.own_dockerfile else [*ENTRYPOINT, *command(*words(argv))]
    return client.through("exec", "--interactive", *(["--tty"] if terminal else []), copy.container, *run)
