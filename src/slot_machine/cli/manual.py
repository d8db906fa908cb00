"""`help`: the help of a command, or a page of docs/."""

import sys
from pathlib import Path

import click

import slot_machine
from slot_machine.core.errors import ConfigError
from slot_machine.host import printing

PACKAGE = Path(slot_machine.__file__).parent


def show(ctx: click.Context, topic: str | None) -> None:
    """Raises ConfigError."""
    root = ctx.find_root()
    commands = root.command
    assert isinstance(commands, click.Group)
    if topic is None:
        print(commands.get_help(root))
        print(f"\nPages: {', '.join(sorted(pages()))}")
    elif command := commands.get_command(root, topic):
        print(command.get_help(click.Context(command, root, info_name=topic)))
    elif path := pages().get(topic):
        _print(path.read_text())
    else:
        raise ConfigError(f"there is no help about {topic!r}", "`slot-machine help` lists what there is")


def pages() -> dict[str, Path]:
    """By topic. They are installed with the package; in a checkout, they lie beside it."""
    for folder in (PACKAGE / "docs", PACKAGE.parents[1] / "docs"):
        if found := {path.stem: path for path in folder.glob("*.md")}:
            return found
    return {}


def _print(text: str) -> None:
    """On a terminal, page by page."""
    if not printing.takes_sequences(sys.stdout):
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    with console.pager():
        console.print(Markdown(text, hyperlinks=False))
