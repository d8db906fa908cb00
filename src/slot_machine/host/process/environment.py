"""The environment of all commands of the app: of its setup, of its start and of its workers."""

import functools
import hashlib
import os
import re
import secrets
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from slot_machine.core import git_variables, service_variables, tool_variables
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.host.files.regular import open_owned
from slot_machine.host.user import rights

LONGEST_BYTES = 131_071
"""Of `NAME=value`: MAX_ARG_STRLEN in execve(2), without the NUL at its end."""
POINTER_BYTES = 8
SPARED_BYTES = 16_384
"""Kept free for the command line and for the variables that each start adds."""

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class BadLine(Exception):
    """A line of an env file that can't become a variable. The message never contains a value."""


UNREADABLE = (OSError, UnicodeDecodeError, BadLine)
"""What `read_env_file` raises."""


def inherited() -> dict[str, str]:
    """The daemon's environment, without variables that bind to one repository or to one service."""
    return service_variables.without_manager(git_variables.unbound(os.environ))


def of_commands() -> dict[str, str]:
    """The environment of git and of our own commands: the daemon's, or a clean one if `user` is set."""
    return _of_user(inherited())


def _of_app() -> dict[str, str]:
    """Like `of_commands`, but without what the daemon's shell was bound to, such as a virtual environment."""
    return _of_user(tool_variables.without_tools(inherited()))


def _of_user(env: dict[str, str]) -> dict[str, str]:
    account = rights.account()
    return account.environment(env) if account else env


def read_env_file(path: Path) -> dict[str, str]:
    """Skips names without `=`. Expands no `$`. Raises BadLine, OSError, UnicodeDecodeError."""
    with os.fdopen(open_owned(path), encoding="utf-8-sig") as stream:
        variables = dict(_variable(binding) for binding in parse_stream(stream) if binding.key or binding.error)
    return {name: value for name, value in variables.items() if value is not None}


def digest(path: Path | None) -> str:
    """Of an env file's variables: empty if there is no file, never the same twice if it is bad."""
    if not path:
        return ""
    try:
        variables = read_env_file(path)
    except UNREADABLE:
        return secrets.token_hex()
    text = "\0".join(f"{name}={variables[name]}" for name in sorted(variables))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def compose(version: Version, env_file: Path | None, ports: dict[str, int], stage: str) -> dict[str, str]:
    """Precedence: `ports`, then `env_file`, then the daemon's environment. Raises StageFailed for a bad `env_file`.

    Made afresh for each command. `ports` maps the names of variables to ports; it is empty for the setup.
    """
    env = _of_app()
    if env_file:
        try:
            env |= read_env_file(env_file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise StageFailed(stage, f"cannot read env_file {env_file}: {reason}") from None
        except BadLine as error:
            raise StageFailed(stage, f"env_file {env_file}, {error}", hint="correct that line") from None
        _check_size(env, env_file, stage)
    env |= {name: str(port) for name, port in ports.items()}
    return env | {
        "SLOT_MACHINE": "1",
        "SLOT_MACHINE_SLOT": version.slot,
        "SLOT_MACHINE_COMMIT": version.commit,
    }


def dropped_by_the_shell(env: Iterable[str]) -> list[str]:
    """Names, apart from the daemon's own, that /bin/sh does not pass on to the commands it runs. Raises OSError.

    dash drops names that are not identifiers. bash keeps them.
    """
    odd = [name for name in env if name not in os.environ and not IDENTIFIER.fullmatch(name)]
    return odd if odd and not _shell_keeps_odd_names() else []


def _variable(binding: Binding) -> tuple[str, str | None]:
    text, name, value = binding.original.string, binding.key, binding.value
    line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
    if binding.error or name is None:
        raise BadLine(f"line {line} is not NAME=value, or its quotes do not match")
    if "=" in name or "\0" in name:
        raise BadLine(f"line {line}: a name can't contain {'=' if '=' in name else 'a NUL character'}")
    if value is None:
        return name, None
    if "\0" in value:
        raise BadLine(f"line {line}: {name} contains a NUL character")
    if len(name.encode()) + 1 + len(value.encode()) > LONGEST_BYTES:
        raise BadLine(f"line {line}: {name} is longer than the {LONGEST_BYTES} bytes that a variable can have")
    # The process gets the bytes of the file, whatever encoding the locale has.
    return os.fsdecode(name.encode()), os.fsdecode(value.encode())


def _check_size(env: Mapping[str, str], env_file: Path, stage: str) -> None:
    takes = sum(len(os.fsencode(name)) + len(os.fsencode(value)) + 2 + POINTER_BYTES for name, value in env.items())
    limit = os.sysconf("SC_ARG_MAX") - SPARED_BYTES
    if takes > limit:
        message = f"env_file {env_file}: with the daemon's own, its variables take {takes} bytes; {limit} are possible"
        raise StageFailed(stage, message, hint="make them fewer or shorter")


@functools.cache
def _shell_keeps_odd_names() -> bool:
    env = {"a.b": "", "PATH": os.defpath}
    done = subprocess.run(["/bin/sh", "-c", "env"], env=env, stdout=subprocess.PIPE, check=False)
    return b"a.b=" in done.stdout.splitlines()
