"""The options `--host` and `--to`, which run a command on servers. They stand before or after the command.

A command without them must start fast, so this module imports almost nothing.
"""

import os
from collections.abc import Sequence

import click
from click.shell_completion import CompletionItem

from slot_machine.core.defaults import HOST_VARIABLE

LOCAL = (
    "after-stop",
    "completion",
    "doctor",
    "export",
    "help",
    "init",
    "install",
    "key-session",
    "receive",
    "start",
    "uninstall",
)
"""Commands that work on this machine only."""

HOSTS, STAGE = "slot_machine.hosts", "slot_machine.stage"
"""What was named before the command, in the context's `meta`."""


def options() -> list[click.Option]:
    return [
        click.Option(
            ["--host", "on_hosts"],
            metavar="[USER@]HOST",
            multiple=True,
            expose_value=False,
            callback=_hosts,
            help="Run the command on that server, over ssh. May be repeated.",
        ),
        click.Option(
            ["--to", "on_stage"],
            metavar="STAGE",
            expose_value=False,
            callback=_stage,
            shell_complete=_stages,
            help="Run the command on the servers that `hosts` has for that stage.",
        ),
    ]


def give(name: str, command: click.Command) -> None:
    """Gives the options to a command and to those below it, once."""
    if name in LOCAL:
        return
    taken = {word for param in command.params for word in param.opts}
    command.params += [option for option in options() if not taken.intersection(option.opts)]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            give("", below)


def redirected(ctx: click.Context, name: str, command: click.Command, args: Sequence[str]) -> click.Command:
    """The command itself, or one that runs it on the servers that were named."""
    named = any(ctx.meta.get(key) for key in (HOSTS, STAGE)) or any(
        word.startswith(("--host", "--to")) for word in args
    )
    if ctx.resilient_parsing or not (named or (os.environ.get(HOST_VARIABLE) and name not in LOCAL)):
        return command
    from slot_machine.cli.remote import command as remote

    return remote.made(ctx, name, command, args)


def _hosts(ctx: click.Context, _: click.Parameter, hosts: tuple[str, ...]) -> None:
    if hosts:
        ctx.meta[HOSTS] = hosts


def _stage(ctx: click.Context, _: click.Parameter, stage: str | None) -> None:
    if stage is not None:
        ctx.meta[STAGE] = stage


def _stages(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    from slot_machine.cli.remote import stages
    from slot_machine.core.errors import SlotMachineError

    try:
        return [CompletionItem(name) for name in stages.known() if name.startswith(begun)]
    except SlotMachineError:
        return []
