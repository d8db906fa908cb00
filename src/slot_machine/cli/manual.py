"""`help`: the help of a command, or a page of docs/."""

import difflib
import sys
import textwrap
from pathlib import Path

import click

import slot_machine
from slot_machine.core.errors import ConfigError
from slot_machine.host import printing

COLUMNS = 80
PACKAGE = Path(slot_machine.__file__).parent


def show(ctx: click.Context, topic: str | None) -> None:
    """Raises ConfigError."""
    root = ctx.find_root()
    commands = root.command
    assert isinstance(commands, click.Group)
    if topic is None:
        print(commands.get_help(root))
        print("", *textwrap.wrap(f"Pages: {', '.join(sorted(pages()))}", COLUMNS), sep="\n")
        return
    command, page = commands.get_command(root, topic), pages().get(topic)
    about = command.get_help(click.Context(command, root, info_name=topic)) if command else ""
    if page:
        _print((f"```text\n{about}\n```\n\n" if about else "") + page.read_text())
    elif about:
        print(about)
    else:
        near = difflib.get_close_matches(topic, [*commands.list_commands(root), *pages()], n=1)
        did_you_mean = f"did you mean `slot-machine help {near[0]}`? " if near else ""
        raise ConfigError(f"there is no help about {topic!r}", f"{did_you_mean}`slot-machine help` lists what there is")


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
