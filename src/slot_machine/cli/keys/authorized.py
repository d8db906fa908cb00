"""The lines of `~/.ssh/authorized_keys` that let somebody push to one app, and do little else."""

import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from slot_machine.cli.keys import public_key
from slot_machine.cli.keys.public_key import PublicKey
from slot_machine.core.errors import ConfigError
from slot_machine.host.files import private

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
COMMAND = re.compile(r'restrict,command="(?P<command>(?:[^"\\]|\\.)*)" ')


class Entry(NamedTuple):
    """`config` is the daemon's file of the app that the key is for."""

    name: str
    config: str
    key: PublicKey


class Keys:
    """Of one app, in one file. Every call raises ConfigError."""

    def __init__(self, file: Path, config: Path, program: Path, repo: Path) -> None:
        self._file = file
        self._config = config
        self._program = program
        self._repo = repo

    def add(self, name: str, key: PublicKey) -> None:
        if not NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name for a key", "use letters, digits, `.`, `_` and `-`")
        line = self._line(name, key)

        def edit(before: bytes) -> bytes:
            for number, present in enumerate(_lines(before), 1):
                known = entry(present)
                if known and (known.name, known.config) == (name, str(self._config)):
                    raise ConfigError(f"{name} has a key already", f"`slot-machine keys remove {name}` removes it")
                if public_key.parse(present) == key:
                    whose = f"of {known.name} for {known.config}" if known else f"in line {number} of {self._file}"
                    raise ConfigError(f"this key is there already, {whose}", "use a key of its own for each purpose")
            newline = b"\n" if before and not before.endswith(b"\n") else b""
            return before + newline + line.encode() + b"\n"

        self._change(edit)

    def remove(self, name: str) -> None:
        def edit(before: bytes) -> bytes:
            kept = [line for line in before.splitlines(keepends=True) if not self._is(line, name)]
            if len(kept) == len(before.splitlines()):
                raise ConfigError(f"there is no key of {name} for this app", "`slot-machine keys list` shows all")
            return b"".join(kept)

        self._change(edit)

    def list(self) -> list[Entry]:
        try:
            found = map(entry, _lines(private.read(self._file)))
        except OSError as error:
            raise self._unusable(error) from None
        return [known for known in found if known and known.config == str(self._config)]

    def _line(self, name: str, key: PublicKey) -> str:
        argv = [str(self._program), "key-session", "--config", str(self._config), "--repo", str(self._repo), name]
        if not all(word.isprintable() and "\\" not in word for word in argv):
            raise ConfigError(f"sshd can't be told the path {self._config}", "move it to one with plain characters")
        command = shlex.join(argv).replace('"', '\\"')
        return f'restrict,command="{command}" {key.text} slot-machine:{name}'

    def _is(self, line: bytes, name: str) -> bool:
        known = entry(line.decode(errors="surrogateescape").strip())
        return known is not None and (known.name, known.config) == (name, str(self._config))

    def _change(self, edit: Callable[[bytes], bytes]) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            private.change(self._file, edit)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(f"cannot use {self._file}: {error.strerror}", "run this as the user whose file it is")


def entry(line: str) -> Entry | None:
    """None for a line that is not ours."""
    found = COMMAND.match(line)
    key = public_key.parse(line) if found else None
    if not found or not key:
        return None
    try:
        words = shlex.split(found["command"].replace('\\"', '"'))
    except ValueError:
        return None
    if len(words) != 7 or words[1:3] != ["key-session", "--config"]:
        return None
    return Entry(words[6], words[3], key)


def own_file() -> Path:
    """Where sshd looks, whatever HOME says."""
    return Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".ssh" / "authorized_keys"


def _lines(content: bytes) -> Iterator[str]:
    return (line.strip() for line in content.decode(errors="surrogateescape").split("\n"))
