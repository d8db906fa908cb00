"""Leads a command to the cluster if the nearest slot-machine.json has an `engine`."""

import copy
import json
import os
from importlib import import_module

import click

from slot_machine.cli import target

ACT = {
    "cancel": "cancel",
    "deploy": "deploy",
    "env": "env",
    "exec": "run",
    "history": "history",
    "logs": "logs",
    "maintenance": "maintenance",
    "restart": "restart",
    "rollback": "rollback",
    "run": "run",
    "status": "status",
}
"""Commands that act on a cluster, and the modules of this package whose `run` does so.

It takes the values of the command's own options and arguments. For a command with others below it, it is `run_NAME`.
"""

WITHOUT = (
    "completion",
    "doctor",
    "edge",
    "engine",
    "export",
    "help",
    "init",
    "key-session",
    "keys",
    "list",
    "ls",
    "receive",
    "version",
)
"""Commands that do the same with an engine and without."""


def redirected(ctx: click.Context, name: str, command: click.Command) -> click.Command:
    """The command itself, or one with the same options that acts on the cluster.

    Raises UsageError for a command that is for one machine only.
    """
    if ctx.resilient_parsing or name in WITHOUT or not _has_engine():
        return command
    if name not in ACT:
        raise click.UsageError(f"`{name}` is for one machine, and slot-machine.json has an `engine`", ctx)
    module = import_module(f"slot_machine.cli.cluster.{ACT[name]}")
    twin = copy.copy(command)
    if isinstance(twin, click.Group):
        twin.commands = {}
        for below, inner in command.commands.items():  # type: ignore[attr-defined]
            twin.commands[below] = copy.copy(inner)
            twin.commands[below].callback = getattr(module, f"run_{below}")
    else:
        twin.callback = module.run
    return twin


def _has_engine() -> bool:
    """Errors of the file are told by the command itself."""
    if target.chosen():
        return False
    path = target.nearest_file()
    try:
        with open(path, "rb") as file:
            text = file.read()
        return b'"engine"' in text and bool(json.loads(text).get("engine"))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def folder() -> str:
    return os.path.dirname(os.path.abspath(target.nearest_file()))
