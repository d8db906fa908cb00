"""Runs commands on a server by the system's ssh, with its configuration, agents and jump hosts.

One connection serves all commands of a minute: each ssh finds the socket of the first one (ControlMaster in
ssh_config(5)).
"""

import hashlib
import os
import re
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from slot_machine.cli.remote import failure
from slot_machine.core.errors import RemoteFailed
from slot_machine.core.hosts import Server
from slot_machine.host import registry

ALIVE_S, MOST_UNANSWERED = 15, 4
"""A firewall between may drop a connection on which nothing is sent, as in a stage that prints nothing."""
CONNECT_S = 20
PERSIST_S = 60
END_S = 10.0
LONGEST_FOLDER = 40
"""The path of a socket has at most 107 bytes (unix(7)); its name has 50, and 17 more while ssh makes the socket."""
NO_INPUT = NOWHERE = subprocess.DEVNULL
PIPE = subprocess.PIPE
FAILED = 255
"""The exit code of ssh itself. A command may have it, too."""
NO_ERROR = re.compile(r"(Warning: .*|(Shared c|C)onnection to \S+ closed\.)\r?")
TIDY_BACKSLASH = "'\"\\\\\"'"


def quoted(words: Sequence[str]) -> str:
    """One line that `sh`, fish and a forced command without a shell take apart in the same way.

    In fish, a backslash between single quotes may escape something. So it stands between double quotes.
    """
    return " ".join(shlex.quote(word).replace("\\", TIDY_BACKSLASH) for word in words)


def program(server: Server) -> list[str]:
    """ssh with our options. These come first, so they count more than those of the configuration (ssh_config(5)).

    Two names for one server have a connection each, since they may have different keys.
    """
    folder, name = _folder(), hashlib.sha256(server.host.encode()).hexdigest()[:8]
    kept = {"ControlMaster": "auto", "ControlPath": f"{folder}/%C-{name}", "ControlPersist": str(PERSIST_S)}
    settings = (kept if folder else {"ControlMaster": "no", "ControlPath": "none"}) | {
        "ServerAliveInterval": str(ALIVE_S),
        "ServerAliveCountMax": str(MOST_UNANSWERED),
        "ConnectTimeout": str(CONNECT_S),
    }
    return ["ssh", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]


def through(server: Server, words: Sequence[str], *, terminal: bool, reads: bool) -> int:
    """Runs it with the caller's streams, and returns its exit code. Without `reads`, it gets no input.

    Raises RemoteFailed.
    """
    stdin = None if reads or terminal else NO_INPUT
    with begun(server, words, stdin, None, terminal=terminal) as session:
        return session.end()


def captured(server: Server, words: Sequence[str], stderr: int | None = None) -> tuple[int, str]:
    """The exit code, and what it prints to stdout. Raises RemoteFailed."""
    with begun(server, words, NO_INPUT, PIPE, stderr) as session:
        text = "".join(session.lines())
        return session.end(), text


class Session:
    """A command that runs on a server."""

    def __init__(self, server: Server, process: "subprocess.Popen[bytes]", log: IO[str]) -> None:
        self._server = server
        self._process = process
        self._log = log

    def lines(self) -> Iterator[str]:
        assert self._process.stdout
        for line in self._process.stdout:
            yield line.decode(errors="replace")

    def end(self) -> int:
        """Waits for its end, and returns its exit code. Raises RemoteFailed if it is that of ssh."""
        code = self._process.wait()
        if code != FAILED:
            return code if code >= 0 else 128 - code
        said = [line.strip() for line in self._log.read().splitlines() if not NO_ERROR.fullmatch(line)]
        if said or not _is_connected(self._server):
            raise failure.of_ssh(self._server, said)
        return code

    def stop(self) -> None:
        """After an interrupt, ssh ends by itself, because the terminal has interrupted it, too."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
            return
        self._process.kill()
        self._process.wait()


@contextmanager
def begun(
    server: Server,
    words: Sequence[str],
    stdin: int | None,
    stdout: int | None,
    stderr: int | None = None,
    *,
    terminal: bool = False,
) -> Iterator[Session]:
    """Raises RemoteFailed. What ssh itself has to say goes to a file, and what the command says to stderr."""
    with _log() as log:
        # With a terminal, ssh says at the end that the connection is closed, unless it is told to be quieter.
        how = ("-t", "-o", "LogLevel=ERROR") if terminal else ("-T",)
        argv = [*program(server), "-E", log.name, *how, "--", server.host, quoted(words)]
        try:
            process = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr)
        except FileNotFoundError:
            raise RemoteFailed("ssh is not installed here", "install OpenSSH's client") from None
        session = Session(server, process, log)
        try:
            yield session
        finally:
            if process.stdout:
                process.stdout.close()
            session.stop()


def _log() -> "IO[str]":
    """Raises RemoteFailed."""
    try:
        return tempfile.NamedTemporaryFile("r", prefix="slot-machine-ssh-", errors="replace")
    except OSError as error:
        raise RemoteFailed(f"cannot write a temporary file: {error.strerror or error}") from None


def login_user(server: Server) -> str:
    """By ssh's configuration; empty if it does not tell."""
    found = _quietly(["ssh", "-G", "--", server.host])
    return next((line.partition(" ")[2] for line in found.splitlines() if line.startswith("user ")), "")


def _is_connected(server: Server) -> bool:
    """Whether the connection lives. One that is not kept says why it ended, so it is not asked for here."""
    if not _folder():
        return True
    done = subprocess.run([*program(server), "-O", "check", "--", server.host], capture_output=True, check=False)
    return done.returncode == 0


def _quietly(argv: Sequence[str]) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=CONNECT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _folder() -> str:
    """For the sockets: a folder that is this user's alone. Empty if there is none: then no connection is kept."""
    for above in registry.own_folders():
        folder = f"{above}/ssh"
        if len(os.fsencode(folder)) <= LONGEST_FOLDER and _is_mine(above) and _is_mine(folder):
            return folder
    return ""


def _is_mine(folder: str) -> bool:
    try:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & registry.OTHERS_WRITE
