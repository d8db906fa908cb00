"""A command that runs on servers: takes its words apart."""

import os
import sys
from collections.abc import Iterator, Sequence

import click

from slot_machine.cli import app_option, target
from slot_machine.cli.remote import deploying, option, running, stages
from slot_machine.cli.remote.call import Call, Options
from slot_machine.core.defaults import HOST_VARIABLE
from slot_machine.core.hosts import Server

OURS = ("app", "on_hosts", "on_stage", "all_or_nothing")
"""Options that no server gets as they are."""

HELP = "help"
"""Among the options, whether somebody asks for the help."""


class RemoteCommand(click.Command):
    def __init__(self, call: Call) -> None:
        super().__init__(call.name)
        self._call = call

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # noqa: ARG002 - they are taken apart already
        return []

    def invoke(self, ctx: click.Context) -> object:  # noqa: ARG002 - click's own signature
        sys.exit(deploying.run(self._call) if self._call.name == "deploy" else running.run(self._call))


def made(ctx: click.Context, name: str, command: click.Command, args: Sequence[str]) -> click.Command:
    """The command itself if nothing names a server after all, or its help is wanted.

    Raises UsageError, ConfigError.
    """
    parts, words, options = _taken_apart(ctx, name, command, args)
    servers = _servers(ctx, options)
    if not servers or HELP in options:
        return command
    if name in option.LOCAL:
        raise click.UsageError(f"`{name}` works on this machine only, so it takes no server", ctx)
    command.make_context(name, list(args), ctx)  # Wrong values are told here.
    if options.get("stream") and not options.get("as_json"):
        raise click.UsageError("--stream goes with --json", ctx)
    servers = tuple(_about(server, name, str(options.get("app") or target.chosen())) for server in servers)
    return RemoteCommand(Call(tuple(parts), tuple(words), options, servers))


def _about(server: Server, name: str, app: str) -> Server:
    """`app` comes before that of the configuration. Some commands are about no app."""
    about = "" if name in app_option.OF_NO_APP else app or server.app
    return Server(server.host, about, server.program)


def _servers(ctx: click.Context, options: Options) -> tuple[Server, ...]:
    """Raises UsageError, ConfigError."""
    after = options.get("on_hosts")
    hosts = [*ctx.meta.get(option.HOSTS, ()), *(after if isinstance(after, list | tuple) else ())]
    stage = options.get("on_stage", ctx.meta.get(option.STAGE))
    if hosts and stage is not None:
        raise click.UsageError("--host and --to both name servers: use one of them", ctx)
    if stage is not None:
        return stages.of(str(stage))
    return stages.named(hosts or os.environ.get(HOST_VARIABLE, "").split())


def _taken_apart(
    parent: click.Context, name: str, command: click.Command, args: Sequence[str]
) -> tuple[list[str], list[str], dict[str, object]]:
    """The names of the command and of that below it, what they are given, and the options by name.

    Raises UsageError.
    """
    ctx = click.Context(command, parent, info_name=name, **command.context_settings)
    given, rest, _ = command.make_parser(ctx).parse_args(list(args))
    options: dict[str, object] = {
        key: value for key, value in given.items() if isinstance(value, str | bool | list | tuple)
    }
    words = list(_words(command, ctx, options))
    asks = command.get_help_option(ctx)
    if asks and asks.name in options:
        options[HELP] = True
    below = command.get_command(ctx, rest[0]) if isinstance(command, click.Group) and rest else None
    if below is None:
        return [name], [*words, *rest], options
    parts, more, inner = _taken_apart(ctx, rest[0], below, rest[1:])
    return [name, *parts], [*words, *more], options | inner


def _words(command: click.Command, ctx: click.Context, options: Options) -> Iterator[str]:
    """An option and its value are one word, so that no value is taken for an option."""
    arguments: list[str] = []
    for param in command.get_params(ctx):
        value = options.get(param.name or "")
        if value is None or param.name in OURS:
            continue
        values = [value] if isinstance(value, str | bool) else list(value) if isinstance(value, list | tuple) else []
        if isinstance(param, click.Argument):
            arguments += [one for one in values if isinstance(one, str)]
        else:
            name = max(param.opts, key=len)
            yield from (name if isinstance(one, bool) else f"{name}={one}" for one in values)
    if arguments:
        yield "--"
        yield from arguments
