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
from slot_machine.state.schema import SCHEMA_VERSION

VARIABLE = "SLOT_MACHINE_RELOAD"
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


class Abilities(msgspec.Struct):
    """What new code says of itself to an earlier image: which database it reads, and which fields of `Handed`."""

    schema: int = 0
    handed: tuple[str, ...] = ()


async def check(fixed: dict[str, object]) -> frozenset[str]:
    """Lets the new code read the new configuration, in a process of its own. Raises ConfigError.

    `fixed` is `Options.fixed` of this daemon. Returns the fields of `Handed` that the new code takes: without `lock_fd`
    it can only begin when nobody holds the lock.
    """
    argv = [*_command(), "--check"]
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
    """What `start --check` prints, and what `check` of an earlier image of the daemon reads."""
    abilities = Abilities(SCHEMA_VERSION, Handed.__struct_fields__)
    return to_fields(options.config) | options.fixed | msgspec.structs.asdict(abilities)


def check_data_plane() -> None:
    """Whether this code's data plane can be loaded. Raises ConfigError."""
    try:
        import_module("slot_machine.proxy.__main__")
    except Exception as error:
        raise ConfigError(f"the data plane can't be loaded: {error!r}", "install slot-machine again") from error


def _not_reloaded(reason: str) -> ConfigError:
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
