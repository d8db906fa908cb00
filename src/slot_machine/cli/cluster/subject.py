"""The app on a cluster that a command is about, and the options that make no sense there."""

import os
from pathlib import Path

import click
from click.core import ParameterSource

from slot_machine.cli import target
from slot_machine.core.errors import ConfigError, Impossible
from slot_machine.engines import open as kinds
from slot_machine.engines import source as sources
from slot_machine.engines.engine import Engine
from slot_machine.engines.source import Source


def source() -> Source:
    """Raises ConfigError."""
    file = target.configuration()
    if not file:
        raise ConfigError("there is no slot-machine.json here", "go to the folder of the app, or of one below it")
    return sources.source(Path(file), Path(target.here()))


def engine(of: Source) -> Engine:
    """Raises ConfigError, EngineFailed."""
    return kinds.opened(of.name, of.engine)


def only(*names: str) -> None:
    """Refuses all options of the present command but those. Raises Impossible."""
    ctx = click.get_current_context()
    for param in ctx.command.params:
        given = param.name and ctx.get_parameter_source(param.name) == ParameterSource.COMMANDLINE
        if given and param.expose_value and param.name not in names and isinstance(param, click.Option):
            what = f"{ctx.command_path.removeprefix('slot-machine ')} {param.opts[-1]}"
            raise Impossible(f"`{what}` is for one machine, and slot-machine.json has an `engine`", "leave it out")


def check_owner() -> None:
    """Settings of a repository may name commands. Under sudo, git would trust that of the caller. Raises Impossible."""
    if os.geteuid() or os.environ.get("SUDO_UID", "0") == "0":
        return
    here = Path.cwd()
    for folder in (here, *here.parents):
        found = [path for path in (folder, folder / ".git") if path.exists()]
        if any(path.stat().st_uid for path in found):
            hint = "run this without sudo, as a user whom the cluster's client lets in, such as by the group docker"
            raise Impossible("git does not run as root in a repository of somebody else", hint)
        if len(found) > 1:
            return
