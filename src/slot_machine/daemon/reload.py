"""Reload: the daemon executes itself again, with new code and configuration, and adopts what runs.

Each execution of the daemon is an image. All images of a reload are the same process.
"""

import os
import signal
import socket
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Self

import msgspec

from slot_machine.app.opening import Options
from slot_machine.core.config_file import to_fields
from slot_machine.core.errors import ConfigError, StartRefused
from slot_machine.host.process import commands, environment, python
from slot_machine.host.process.containment import owner
from slot_machine.host.user import rights
from slot_machine.state.schema import SCHEMA_VERSION

VARIABLE = "SLOT_MACHINE_RELOAD"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Handed(msgspec.Struct):
    """The file descriptors that one image passes to the next. Clients wait on these sockets during the reload.

    The workers have the public listeners too, but a worker may die during the reload.
    """

    api_fd: int
    listener_fds: dict[str, int]
    reloads: int
    """How many reloads this process has done."""
    lock_fd: int = -1
    """The lock of the data folder: no other daemon gets it during the reload. -1 if an older image is involved."""
    unix_fd: int = -1
    """The API's socket in the data folder. -1 if there is none, or if an older image is involved."""
    webhook_fd: int = -1
    """Where the webhook listens. -1 if there is none, or if an older image is involved."""

    @classmethod
    def inherited(cls) -> Self | None:
        """What the image before this one passed on. None in the first image."""
        handed = os.environ.pop(VARIABLE, "")
        return msgspec.json.decode(handed, type=cls) if handed else None

    def api_socket(self) -> socket.socket:
        return _own(self.api_fd)

    def unix_socket(self) -> socket.socket | None:
        return _own(self.unix_fd) if self.unix_fd >= 0 else None

    def webhook_socket(self) -> socket.socket | None:
        return _own(self.webhook_fd) if self.webhook_fd >= 0 else None

    def listeners(self) -> dict[str, socket.socket]:
        return {name: _own(fd) for name, fd in self.listener_fds.items()}


def _own(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    return socket.socket(fileno=fd)


class Abilities(msgspec.Struct):
    """What new code can read: `schema` is the version of the database, `handed` are fields of `Handed`."""

    schema: int = 0
    handed: tuple[str, ...] = ()


async def check(fixed: dict[str, object]) -> frozenset[str]:
    """Starts the new code in a process of its own, and lets it read the new configuration. Raises ConfigError.

    `fixed` is `Options.fixed` of this daemon. Returns the fields of `Handed` that the new code can read. Code that
    can't read `lock_fd` takes the lock itself, so the lock must be free for it.
    """
    argv = [*python.this_one(), "--check"]
    try:
        code, out, err = await commands.run(
            argv, Path.cwd(), environment.inherited(), owner(Path(str(fixed["data"]))), as_daemon=True
        )
        if code:
            raise _not_reloaded(err.strip().removeprefix("error: ") or f"exit code {code}")
        abilities = msgspec.json.decode(out, type=Abilities)
        new = msgspec.json.decode(out, type=dict[str, object])
    except OSError as error:
        raise _not_reloaded(f"the new code can't be asked: {error}") from None
    except msgspec.MsgspecError as error:
        raise _not_reloaded(f"the new code gave an answer that can't be understood: {error!r}") from None
    if abilities.schema < SCHEMA_VERSION:
        raise _not_reloaded("the new code is of an older slot-machine, which can't read this database")
    for name, value in fixed.items():
        if new.get(name) != value:
            raise ConfigError(
                f"nothing was reloaded: a reload can't change {name} ({value} to {new.get(name)})",
                "stop the daemon and start it again for that",
            )
    return frozenset(abilities.handed)


def answer(options: Options) -> dict[str, object]:
    """What `start --check` prints. `check` in the image before this one reads it."""
    abilities = Abilities(SCHEMA_VERSION, Handed.__struct_fields__)
    return to_fields(options.config) | options.fixed | msgspec.structs.asdict(abilities)


def check_data_plane() -> None:
    """Raises ConfigError if this code's data plane can't be imported."""
    try:
        import_module("slot_machine.proxy.__main__")
    except Exception as error:
        raise ConfigError(f"the data plane can't be loaded: {error!r}", "install slot-machine again") from error


def _not_reloaded(reason: str) -> ConfigError:
    return ConfigError(f"nothing was reloaded: {reason}", "the daemon goes on as it was")


def again(handed: Handed) -> NoReturn:
    """Executes this process again, as the next image. Raises StartRefused."""
    for fd in (handed.api_fd, handed.lock_fd, handed.unix_fd, handed.webhook_fd, *handed.listener_fds.values()):
        if fd >= 0:
            os.set_inheritable(fd, True)
    os.environ[VARIABLE] = msgspec.json.encode(handed).decode()
    argv = python.this_one()
    rights.end()
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        what = f"the daemon ends, as it can't execute itself again: {error}"
        raise StartRefused(what, "what it started runs on; the next `slot-machine start` takes it over") from None
