"""Upgrade in place: the daemon executes itself again, with new code and configuration, and takes over what runs."""

import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Self

import msgspec

from slot_machine.app.opening import Options
from slot_machine.core.config_file import to_fields
from slot_machine.core.errors import ConfigError, StartRefused
from slot_machine.host.process import commands, environment
from slot_machine.host.process.containment import owner
from slot_machine.host.user import rights
from slot_machine.state.store import SCHEMA_VERSION

VARIABLE = "SLOT_MACHINE_RELOAD"
FIXED = ("port", "internal_port", "api_port", "repo", "data", "user", "group")
"""What only a stop and a start can change."""

LATER = ("user", "group")
"""Of these, what older code does not know, and so does not tell."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Handed(msgspec.Struct):
    """What one image of the daemon hands to the next: sockets, on which clients wait meanwhile.

    The listeners are the data plane's as well, but it may die while there is no daemon to see it.
    """

    api_fd: int
    listener_fds: dict[str, int]
    reloads: int
    """How many there have been since the process began."""
    lock_fd: int = -1
    """That of the data folder's lock, so that no other daemon gets it meanwhile; -1 from and for an older image."""
    unix_fd: int = -1
    """The API's socket in the data folder; -1 from and for an older image, or where there is none."""

    @classmethod
    def inherited(cls) -> Self | None:
        """None in the first image of a process."""
        handed = os.environ.pop(VARIABLE, "")
        return msgspec.json.decode(handed, type=cls) if handed else None

    def api_socket(self) -> socket.socket:
        return _own(self.api_fd)

    def unix_socket(self) -> socket.socket | None:
        return _own(self.unix_fd) if self.unix_fd >= 0 else None

    def listeners(self) -> dict[str, socket.socket]:
        return {name: _own(fd) for name, fd in self.listener_fds.items()}


def _own(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


async def check(fixed: dict[str, object]) -> frozenset[str]:
    """Lets the new code read the new configuration, in a process of its own. Raises ConfigError.

    Returns which fields of `Handed` it takes: without `lock_fd` it can only begin when nobody holds the lock. `fixed`
    is what this daemon was started with, under the names in FIXED.
    """
    argv = [*_command(), "--check"]
    try:
        code, out, err = await commands.run(
            argv, Path.cwd(), environment.inherited(), owner(Path(str(fixed["data"]))), as_daemon=True
        )
        if code:
            raise _refusal(err.strip().removeprefix("error: ") or f"exit code {code}")
        answer = msgspec.json.decode(out, type=dict[str, object])
        new = {name: answer.get(name, "") if name in LATER else answer[name] for name in FIXED}
    except OSError as error:
        raise _refusal(f"the new code can't be asked: {error}") from None
    except (msgspec.MsgspecError, KeyError) as error:
        raise _refusal(f"the new code gave an answer that can't be understood: {error!r}") from None
    schema = answer.get("schema", 0)
    if not isinstance(schema, int) or schema < SCHEMA_VERSION:
        raise _refusal("the new code is of an older slot-machine, which can't read this database")
    for name in FIXED:
        if new[name] != fixed[name]:
            raise ConfigError(
                f"nothing was reloaded: a reload can't change {name} ({fixed[name]} to {new[name]})",
                "stop the daemon and start it again for that",
            )
    handed = answer.get("handed")
    return frozenset(map(str, handed)) if isinstance(handed, list) else frozenset()


def answer(options: Options) -> dict[str, object]:
    """What `start --check` prints, and what `check` of another image of the daemon reads."""
    abilities = {"handed": Handed.__struct_fields__, "schema": SCHEMA_VERSION}
    return to_fields(options.config) | options.fixed | abilities


def check_data_plane() -> None:
    """Whether this code's data plane can be loaded. Raises ConfigError."""
    try:
        import_module("slot_machine.proxy.__main__")
    except Exception as error:
        raise ConfigError(f"the data plane can't be loaded: {error!r}", "install slot-machine again") from error


def _refusal(reason: str) -> ConfigError:
    return ConfigError(f"nothing was reloaded: {reason}", "the daemon goes on as it was")


def again(handed: Handed) -> NoReturn:
    """Never returns: this process goes on as a new image of itself. Raises StartRefused."""
    for fd in filter(
        lambda fd: fd >= 0, (handed.api_fd, handed.lock_fd, handed.unix_fd, *handed.listener_fds.values())
    ):
        os.set_inheritable(fd, True)
    os.environ[VARIABLE] = msgspec.json.encode(handed).decode()
    argv = _command()
    rights.end()
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        what = f"the daemon ends, as it can't execute itself again: {error}"
        raise StartRefused(what, "what it started runs on; the next `slot-machine start` takes it over") from None


def _command() -> list[str]:
    """As this process was started, but without modules from its folder, which -m would let in."""
    isolation = () if sys.flags.safe_path else ("-P",)
    return [sys.executable, *isolation, *sys.orig_argv[1:]]
