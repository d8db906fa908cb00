"""How a client reaches its daemon: finds its socket, and speaks HTTP/1.0 over it.

It uses plain sockets, because importing an HTTP library would make `status` slow.
"""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator

from slot_machine import __version__
from slot_machine.core.defaults import APP_FIELD
from slot_machine.core.errors import Unreachable

SOCKET = "api.sock"
CONNECT_TIMEOUT_S = 5
ANSWER_S = 30.0
"""For a GET, also while the daemon reloads. A daemon that takes longer hangs. What changes something takes its time."""
RETRY_S = 0.1
MOST_TRIES = 100
NDJSON = "application/x-ndjson"
CREDENTIALS = struct.calcsize("iii")
"""Of SO_PEERCRED: pid, uid and gid of the process that listens (unix(7))."""

Json = dict[str, object]


class NothingBegun(Exception):
    """The daemon reloads. It has not begun to handle the request."""


class Link:
    """Uses the socket in the data folder `data`; else that of a daemon that the registry has; else `api_port`.

    `name` is for people. `config` is the path of the configuration file; with it, a daemon is found that was started
    with other options. An older daemon has no socket, and a daemon on another machine, whose port is forwarded, has
    none here. With the `uid` of another user, only a socket of that user's daemon is used. With `answer_s`, no part of
    a reply may take longer.
    """

    def __init__(
        self,
        api_port: int,
        data: str = "",
        *,
        name: str = "",
        config: str = "",
        called: str = "",
        uid: int | None = None,
        answer_s: float | None = None,
    ) -> None:
        self.name = name
        self._port = api_port
        self._data = data
        self._config = config
        self._called = called
        self._uid = uid
        self._answer_s = answer_s
        self._denied = False
        self.daemon_uid: int | None = None
        """The user of the daemon that answered last; None if the answer came over TCP."""

    def find_data(self) -> str:
        """The data folder; if its daemon was started with another one and runs, that one. Empty if it is not known."""
        if connection := self._by_file():
            connection.close()
        else:
            self._found_elsewhere()
        return self._data

    def _call(self, method: str, path: str, body: Json | None = None, has: str = "success") -> Iterator[Json]:
        """`has` is a field of every reply. Another program may answer at the port, and in JSON as well.

        Raises Unreachable.
        """
        payload = json.dumps(body).encode() if body is not None else b""
        head = (
            f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: slot-machine/{__version__}\r\n{self._meant()}"
            f"Accept: {NDJSON}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        try:
            answer_s = ANSWER_S if method == "GET" and self._answer_s is None else self._answer_s
            for tries_left in reversed(range(MOST_TRIES)):
                try:
                    yield from self._try(head.encode() + payload, has, answer_s)
                    return
                except NothingBegun:
                    pass
                except (ConnectionResetError, BrokenPipeError):
                    # A reload resets connections whose request was not read yet. Only a GET is safe to repeat.
                    if method != "GET" or not tries_left:
                        raise
                time.sleep(RETRY_S)
            raise ConnectionError("it reloads for too long")
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from None
        except ValueError as error:
            raise self._unreachable(f"what answers there is not slot-machine ({error})") from None

    def _try(self, request: bytes, has: str, answer_s: float | None) -> Iterator[Json]:
        with self._connected() as connection:
            connection.settimeout(answer_s)
            self.daemon_uid = _listener(connection) if connection.family == socket.AF_UNIX else None
            connection.sendall(request)
            with connection.makefile("rb") as reply:
                _check_final(reply)
                yield from _lines(reply, has)

    def _meant(self) -> str:
        """Which app is meant: over TCP, the daemon of another one refuses."""
        if not self._data and not self._called:
            return ""
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot_id = file.read().strip()
        data = os.path.realpath(self._data) if self._data else ""
        meant = {"name": self._called, "data": data, "config": self._config, "boot_id": boot_id}
        return f"{APP_FIELD}: {json.dumps(meant)}\r\n"

    def _connected(self) -> socket.socket:
        if connection := self._by_file() or (self._found_elsewhere() and self._by_file()):
            return connection
        if self._uid not in (None, os.geteuid()):
            raise ConnectionRefusedError(f"no daemon of {_owner(self._data)} answers in {self._data}")
        return socket.create_connection(("127.0.0.1", self._port), CONNECT_TIMEOUT_S)

    def _by_file(self) -> socket.socket | None:
        try:
            return _connected_to(self._data, self._uid) if self._data else None
        except PermissionError:
            self._denied = True
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            pass
        return None

    def _found_elsewhere(self) -> bool:
        """Whether a daemon that the registry has uses another data folder for this configuration."""
        if not self._data or self._denied:
            return False
        from slot_machine.cli import daemons

        entry = daemons.with_files(self._data, self._config)
        if not entry:
            return False
        moved = entry.data != os.path.realpath(self._data)
        self._data, self._port, self._uid, self.name = entry.data, entry.api_port, entry.uid, entry.name
        return moved

    def _unreachable(self, why: str) -> Unreachable:
        from pathlib import Path

        from slot_machine.daemon.lock import locked_by

        of = f" of {self.name}" if self.name else ""
        message = f"cannot reach the slot-machine daemon{of} on 127.0.0.1:{self._port}: {why}"
        if self._denied:
            user = _owner(self._data)
            return Unreachable(
                f"{message}; and {self._data}/{SOCKET} is for {user} only, whose daemon it is",
                f"run this command as {user}{'' if user == 'root' else ', or as root'}",
            )
        found = locked_by(Path(self._data)) if self._data else None
        if not found:
            elsewhere = "; if it runs, go to the folder of its slot-machine.json: there is none here"
            return Unreachable(message, f"run `slot-machine start` first{'' if self._data else elsewhere}")
        if found.api_port == self._port:
            return Unreachable(message, f"it runs as pid {found.pid}, and may still be starting; its output tells")
        return Unreachable(
            f"{message}; the daemon with pid {found.pid} still listens on {found.api_port}",
            "a reload can't change api_port: stop the daemon and start it again",
        )


def _connected_to(data: str, uid: int | None) -> socket.socket:
    """Raises OSError, also if a process of another user than `uid` listens."""
    folder = os.open(data, os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX)
    try:
        # With settimeout() Python does not block, so a full backlog would be an error. SO_SNDTIMEO waits for room.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", CONNECT_TIMEOUT_S, 0))
        # The path of a Unix socket may have at most 107 bytes (unix(7)).
        connection.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bytes(struct.calcsize("ll")))
        listens = _listener(connection)
        if uid not in (None, listens):
            raise ConnectionRefusedError(f"what listens there belongs to user {listens}")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(folder)
    return connection


def _listener(connection: socket.socket) -> int:
    """The uid of the process that made the socket."""
    _, uid, _ = struct.unpack("iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS))
    return int(uid)


def _owner(data: str) -> str:
    from slot_machine.host.user import account

    try:
        return account.name(os.stat(data).st_uid)
    except OSError:
        return "the user who started it"


def _check_final(reply: Iterator[bytes]) -> None:
    """Reads the head of the reply. Raises NothingBegun if it has the field Retry-After."""
    status_line = next(reply, b"")
    if status_line and not status_line.startswith(b"HTTP/1."):
        raise ValueError("no HTTP reply")
    again = False
    while header := next(reply, b"").strip():
        again = again or header.lower().startswith(b"retry-after:")
    if again:
        raise NothingBegun


def _lines(reply: Iterator[bytes], has: str) -> Iterator[Json]:
    """Yields the JSON objects of the body. Raises ConnectionResetError if the body ends before the reply."""
    answered = False
    for line in reply:
        if not line.strip():
            continue  # The daemon ended while nothing was printed, and it only kept the connection.
        value = json.loads(line)
        if isinstance(value, list):
            value = {"entries": value}
        if not isinstance(value, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - what came is wrong, not what was passed
        answered = "event" not in value
        if answered and not value.keys() & {has, "success"}:
            raise ValueError(f"no field {has!r}")
        yield value
    if not answered:
        raise ConnectionResetError("the daemon ended before it replied")
