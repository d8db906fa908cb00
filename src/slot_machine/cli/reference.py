"""`python -m slot_machine.cli.reference docs/commands.md` writes the help of all commands into that page.

It stands below the heading of each command, between fences, so that the page can't differ from what `--help` prints.
Options that all commands have are left out.
"""

import copy
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from slot_machine.cli.main import COMMANDS, commands

WIDTH = 100
OF_ALL = {"app", "help", "on_hosts", "on_stage"}
HEADING = re.compile(r"^(## [^\n]*`\n)\n(?:```text\n(?:(?!```).*\n)*```\n\n)?", re.MULTILINE)


def with_help(page: str) -> str:
    """The page, with the present help."""

    def section(found: re.Match[str]) -> str:
        helps = [text for name in re.findall(r"`([a-z-]+)`", found[1]) if name in COMMANDS for text in _helps(name)]
        block = "```text\n" + "\n\n".join(helps) + "\n```\n\n" if helps else ""
        return f"{found[1]}\n{block}"

    return HEADING.sub(section, page)


def _helps(name: str) -> Iterator[str]:
    root = click.Context(commands, info_name="slot-machine", max_content_width=WIDTH, terminal_width=WIDTH)
    command = commands.get_command(root, name)
    assert command
    yield from _help(command, root, name)


def _help(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    ctx = click.Context(command, parent, info_name=name)
    ctx.help_option_names = []
    if not isinstance(command, click.Group):
        short = copy.copy(command)
        short.params = [param for param in command.params if param.name not in OF_ALL]
        yield short.get_help(ctx)
        return
    for below in sorted(command.commands):
        yield from _help(command.commands[below], ctx, below)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_help(path.read_text()))
