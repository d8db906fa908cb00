"""The option `-a`, which names the app in place of the current folder. It stands before or after any command."""

import os

import click
from click.shell_completion import CompletionItem

from slot_machine.core.defaults import APP_VARIABLE

OF_NO_APP = (
    "after-stop",
    "completion",
    "doctor",
    "edge",
    "export",
    "engine",
    "help",
    "init",
    "install",
    "key-session",
    "list",
    "ls",
    "receive",
    "start",
    "uninstall",
    "version",
)
"""Commands that are about no running app, so that they have no `-a`."""

NAMED = "slot_machine.app"


def option() -> click.Option:
    return click.Option(
        ["-a", "--app"],
        metavar="NAME",
        expose_value=False,
        callback=_choose,
        shell_complete=_names,
        help="The app with that name or folder, in place of that of the current folder.",
    )


def give(name: str, command: click.Command) -> None:
    """Gives the option to a command and to those below it, once."""
    if name in OF_NO_APP or any(given.name == "app" for given in command.params):
        return
    command.params.append(option())
    if isinstance(command, click.Group):
        for below in command.commands.values():
            give("", below)


def check(ctx: click.Context, name: str) -> None:
    """Raises UsageError for a command that is about no app, when one is named before it."""
    if NAMED in ctx.meta and name in OF_NO_APP:
        ctx.fail(f"-a names a running app, but `{name}` is about none")


def _choose(ctx: click.Context, _: click.Parameter, app: str | None) -> None:
    if app == "":
        raise click.BadParameter("the name of an app is empty", ctx)
    if app:
        ctx.meta[NAMED] = app
        os.environ[APP_VARIABLE] = app


def _names(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    from slot_machine.host import registry

    return [CompletionItem(entry.name) for entry in registry.running() if entry.name.startswith(begun)]
