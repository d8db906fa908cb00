"""The commands, and their exit codes. Results go to stdout, everything else to stderr."""

import difflib
import sys
from importlib import import_module

import click

from slot_machine import SPEC_VERSION, __version__
from slot_machine.cli import app_option, examples, render, target
from slot_machine.cli.cluster import dispatch
from slot_machine.cli.remote import option
from slot_machine.core.errors import SlotMachineError
from slot_machine.host import printing

COMMANDS = {
    "after-stop": "after_stop",
    "cancel": "cancel",
    "completion": "completion",
    "deploy": "deploy",
    "doctor": "doctor",
    "help": "help",
    "history": "history",
    "init": "init",
    "install": "install",
    "list": "list",
    "ls": "list",
    "notify": "notify",
    "logs": "logs",
    "reload": "reload",
    "restart": "restart",
    "rollback": "rollback",
    "show": "show",
    "start": "start",
    "stats": "stats",
    "status": "status",
    "top": "top",
    "uninstall": "uninstall",
    "version": "version",
    "run": "run",
    "exec": "run",
    "env": "env",
    "maintenance": "maintenance",
    "promote": "promote",
    "abort": "abort",
    "webhook": "webhook",
    "receive": "receive",
    "keys": "keys",
    "key-session": "key_session",
    "edge": "edge",
    "export": "export",
    "engine": "engine",
}
"""By name, the module of `cli.commands` whose `command` it is. It is imported when somebody uses the command."""


class WrongUsage(click.UsageError):
    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"slot_machine.cli.commands.{COMMANDS[cmd_name]}").command
        assert isinstance(command, click.Command)
        app_option.give(cmd_name, command)
        option.give(cmd_name, command)
        examples.give(cmd_name, command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `slot-machine {near[0]}`? " if near else ""
            raise WrongUsage(f"unknown command {args[0]!r}", f"{hint}`slot-machine --help` lists the commands", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if name and command:
            elsewhere = option.redirected(ctx, name, command, rest)
            return name, dispatch.redirected(ctx, name, command) if elsewhere is command else elsewhere, rest
        return name, command, rest


@click.group(
    cls=Commands,
    params=[app_option.option(), *option.options()],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="slot-machine", message=f"%(prog)s %(version)s (spec {SPEC_VERSION})")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Blue-green deploys of one web app on one machine."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help().replace("Usage:", "usage:", 1), file=sys.stderr)
        ctx.exit(1)
    app_option.check(ctx, ctx.invoked_subcommand)


def main() -> None:
    """The console script."""
    try:
        sys.exit(commands.main(standalone_mode=False))
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        message = error.format_message().rstrip(".")
        render.fail(message[:1].lower() + message[1:], _hint(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        goes_on = "; a deploy that the daemon has begun goes on (`slot-machine cancel` ends it)"
        printing.note(f"interrupted{'' if target.has_engine() else goes_on}")
        sys.exit(130)
    except SlotMachineError as error:
        render.fail(str(error), error.hint)
    except BrokenPipeError:
        render.nobody_reads()


def _hint(error: click.ClickException) -> str:
    if isinstance(error, WrongUsage):
        return error.hint
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"`{ctx.command_path} --help` shows how it is used" if ctx else ""
