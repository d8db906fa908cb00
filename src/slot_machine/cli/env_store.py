"""Which file `env` changes, with whose rights, and what its contents become."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from slot_machine.cli import render, target
from slot_machine.cli.client import Client, Json
from slot_machine.core.client_variables import PREFIXES
from slot_machine.core.errors import ConfigError, EnvFileError, Unreachable
from slot_machine.host.files import private
from slot_machine.host.process import env_file
from slot_machine.host.process.env_file import BadLine
from slot_machine.host.user import rights
from slot_machine.host.user.rights import Account

T = TypeVar("T")

ROOT = 0
OWN = ("PORT", "INTERNAL_PORT", "SLOT_MACHINE")
"""Names, or beginnings of names, that slot-machine itself sets for the app."""


class Store(NamedTuple):
    """`user` is the one whose rights count in place of root's; None for the caller's own."""

    path: Path
    user: Account | None = None

    def variables(self) -> dict[str, str]:
        """Raises EnvFileError."""
        return self._tried(lambda: env_file.variables(env_file.decoded(private.read(self.path))))

    def change(self, edit: Callable[[str], str]) -> bool:
        """Whether `edit` has changed anything. Raises EnvFileError."""

        def edited(content: bytes) -> bytes:
            return edit(env_file.decoded(content)).encode()

        return self._tried(lambda: private.change(self.path, edited))

    def text(self) -> str:
        """Raises EnvFileError."""
        return self._tried(lambda: env_file.decoded(private.read(self.path)))

    def _tried(self, work: Callable[[], T]) -> T:
        try:
            with _becoming(self.user):
                return work()
        except BadLine as error:
            raise EnvFileError(f"{self.path}, {error}", "correct that line by hand first") from None
        except UnicodeDecodeError:
            raise EnvFileError(f"{self.path} is not UTF-8 text", "save it as UTF-8") from None
        except OSError as error:
            raise EnvFileError(f"cannot use {self.path}: {error.strerror}") from None


class Apply(Protocol):
    """Brings a change of those variables to the app, and says so. `done` says what was stored."""

    def __call__(self, names: list[str], done: str, *, changed: bool, restart: bool) -> None: ...


def _nothing() -> tuple[Json, str]:
    return {}, ""


class Place(NamedTuple):
    """`compared` says, in fields and in a sentence, whether the live version has the same variables."""

    store: Store
    apply: Apply
    compared: Callable[[], tuple[Json, str]] = _nothing


def found(client: Client) -> Store:
    """The file of the running daemon; without one, of the nearest configuration. Raises SlotMachineError."""
    try:
        reply = client.env_file()
    except Unreachable as unreachable:
        return _configured(unreachable)
    render.fail_if_refused(reply)
    if not reply["env_file"]:
        raise _none("the daemon's configuration")
    path = Path(str(reply["env_file"]))
    if os.geteuid() != ROOT:
        return Store(path)
    if client.daemon_uid is None:
        raise EnvFileError("the daemon did not answer over the socket in its data folder, so root does not believe it")
    return _of_root(path, client.daemon_uid, str(reply["user"]), str(reply["group"]))


def _configured(unreachable: Unreachable) -> Store:
    name = target.configuration()
    if not name:
        raise unreachable
    return configured(name)


def configured(name: str) -> Store:
    """The file that the configuration with that path names. Raises ConfigError, StartRefused."""
    with open(name, "rb") as file:
        owner = os.fstat(file.fileno()).st_uid
        config = json.load(file)
    if not config.get("env_file"):
        raise _none(name)
    path = Path(name).parent / str(config["env_file"])
    if os.geteuid() != ROOT:
        return Store(path)
    return _of_root(path, owner, str(config.get("user") or ""), str(config.get("group") or ""))


def _of_root(path: Path, named_by: int, user: str, group: str) -> Store:
    """Root uses the file with the rights of the app's user. If another user names the file, root has only that one's.

    Raises StartRefused for a user that there is not.
    """
    if named_by != ROOT:
        return Store(path, rights.find(str(named_by), ""))
    rights.begin(rights.find(user, group))
    return Store(path)


@contextmanager
def _becoming(user: Account | None) -> Iterator[None]:
    """Without anything of root's, except that the process stays root's for all others."""
    if not user:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(ROOT)
        os.setegid(gid)
        os.setgroups(groups)


def _none(where: str) -> ConfigError:
    then = "" if target.has_engine() else ", and reload the daemon"
    return ConfigError(f"{where} names no env_file", f'set "env_file": ".env" in slot-machine.json{then}')


def notes(names: Sequence[str]) -> list[str]:
    """What a person has to know of these variables."""
    built = [name for name in names if name.startswith(PREFIXES)]
    own = [name for name in names if name in OWN or name.startswith(f"{OWN[-1]}_")]
    lines = []
    if built:
        what = (
            f"a build copies {', '.join(built)} into the scripts for browsers, so only a new build applies the change"
        )
        lines.append(f"{what}: `slot-machine deploy --setup`")
    if own:
        lines.append(f"slot-machine itself sets {', '.join(own)} for the app, so that value has no effect there")
    return lines


def with_variables(text: str, new: Mapping[str, str]) -> str:
    """Raises EnvFileError, BadLine."""
    for name, value in new.items():
        text = env_file.with_variable(text, name, value)
    return text


def without(text: str, names: Sequence[str]) -> str:
    """Raises EnvFileError for a name that the file does not have, EnvFileError, BadLine."""
    if missing := [name for name in names if name not in env_file.variables(text)]:
        raise EnvFileError(f"env_file has no {', '.join(missing)}", "`slot-machine env list` names what it has")
    for name in names:
        text = env_file.without_variable(text, name)
    return text
