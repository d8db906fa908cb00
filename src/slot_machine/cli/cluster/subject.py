"""The app on a cluster that a command is about, and the options that make no sense there."""

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
