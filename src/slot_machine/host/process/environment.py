"""The environment of all commands of the app: of its setup, of its start and of its workers."""

import functools
import hashlib
import os
import secrets
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from slot_machine.core import git_variables, service_variables, tool_variables
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.host.process.env_file import IDENTIFIER, BadLine, read_env_file
from slot_machine.host.user import rights

POINTER_BYTES = 8
SPARED_BYTES = 16_384
"""Kept free for the command line and for the variables that each start adds."""


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
