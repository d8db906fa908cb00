"""Leads a command to the cluster if the nearest slot-machine.json has an `engine`."""

import copy
import functools
from collections.abc import Callable
from importlib import import_module

import click

from slot_machine.cli import target
from slot_machine.core.errors import Impossible

ACT = {
    "cancel": "cancel",
    "deploy": "deploy",
    "edge": "edge",
    "exec": "run",
    "history": "history",
    "logs": "logs",
    "maintenance": "maintenance",
    "restart": "restart",
    "rollback": "rollback",
    "run": "run",
    "show": "show",
    "status": "status",
}
"""Commands that act on a cluster, and the modules of this package whose `run` does so.

It takes the values of the command's own options and arguments. For a command with others below it, it is `run_NAME`.
"""

WITHOUT = (
    "after-stop",
    "completion",
    "doctor",
    "engine",
    "env",
    "export",
    "help",
    "init",
    "install",
    "key-session",
    "keys",
    "list",
    "ls",
    "receive",
    "start",
    "uninstall",
    "version",
)
"""Commands that are the same with an engine and without, or decide themselves, as `env` does.

`start` and `install` refuse a file with an `engine`.
"""

INSTEAD = {
    "abort": "`slot-machine rollback` goes back",
    "notify": "the cluster's own monitoring tells of failures",
    "promote": "a deploy that succeeded is live",
    "reload": "`slot-machine restart` brings changes of slot-machine.json to the cluster",
    "stats": "the edge of the cluster counts requests",
    "top": "`docker stats` and `kubectl top` show what copies use",
    "webhook": "let your CI call `slot-machine deploy`",
}
"""What to do in place of a command that is for one machine only."""

Callback = Callable[..., object]


def redirected(ctx: click.Context, name: str, command: click.Command) -> click.Command:
    """The command itself, or one with the same options that acts on the cluster, or refuses.

    Its option `-a` still leads to an app of this machine.
    """
    if ctx.resilient_parsing or name in WITHOUT or not target.has_engine():
        return command
    if isinstance(command, click.Group):
        twin = copy.copy(command)
        twin.commands = {below: _twin(name, inner, f"run_{below}") for below, inner in command.commands.items()}
        return twin
    return _twin(name, command, "run")


def _twin(name: str, command: click.Command, function: str) -> click.Command:
    twin = copy.copy(command)
    here = command.callback
    assert here

    @functools.wraps(here)
    def callback(*args: object, **values: object) -> object:
        acts: Callback = here if target.chosen() or values.get("every") else _on_cluster(name, function)
        return acts(*args, **values)

    twin.callback = callback
    return twin


def _on_cluster(name: str, function: str) -> Callback:
    """Raises Impossible for a command that is for one machine only."""
    if name not in ACT:
        hint = INSTEAD.get(name, "docs/engines.md names the commands that act on a cluster")
        raise Impossible(
            f"`{name}` is for one machine, and slot-machine.json has an `engine`",
            f"{hint}; `-a NAME` names an app of this machine",
        )
    found: Callback = getattr(import_module(f"slot_machine.cli.cluster.{ACT[name]}"), function)
    return found
