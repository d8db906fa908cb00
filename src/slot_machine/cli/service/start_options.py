"""The options of `start` that a service gets, read by `start` itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from slot_machine.app.opening import Options
from slot_machine.cli import start
from slot_machine.cli.commands.start import command
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import ConfigError


def read(words: Sequence[str]) -> tuple[Options, tuple[str, ...]]:
    """What they mean here, and the same options for any folder. Raises ConfigError, click.UsageError."""
    given = command.make_context("start", list(words)).params
    for name in ("check", "rebuild_state"):
        if given[name]:
            raise click.UsageError(f"a service can't start with --{name.replace('_', '-')}")
    options = start.options(
        given["config_file"],
        given["repo"],
        given["data"],
        given["api_port"],
        proxy=not given["no_proxy"],
        rebuild_state=False,
    )
    if not options.repo.is_dir():
        raise ConfigError(f"{options.repo} is not a folder", "name the app's repository with --repo")
    return options, tuple(_absolute(options, given["repo"], given["data"], given["api_port"]))


def _absolute(options: Options, repo: Path | None, data: Path | None, api_port: int | None) -> Iterator[str]:
    if options.config_file.name != FILE_NAME:
        yield f"--config={options.config_file}"
    if repo:
        yield f"--repo={options.repo}"
    if data:
        yield f"--data={options.data}"
    if api_port:
        yield f"--api-port={api_port}"
    if not options.proxy:
        yield "--no-proxy"
