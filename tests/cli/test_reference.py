"""docs/commands.md has the help of each command as it is, with an example; `help` shows it, and the pages of docs/."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from slot_machine.cli import manual
from slot_machine.cli.main import COMMANDS, commands
from slot_machine.cli.reference import with_help
from slot_machine.core.errors import ConfigError

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "commands.md").read_text()


def shown() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        assert command
        if not command.hidden:
            yield name, command


def test_page_has_the_present_help_of_each_command() -> None:
    assert with_help(PAGE) == PAGE, "run `python -m slot_machine.cli.reference docs/commands.md`"
    for _, command in shown():
        assert f"Usage: slot-machine {command.name} " in PAGE, f"{command.name} has no section"


def test_each_command_has_an_example_of_itself() -> None:
    for name, command in shown():
        assert f"slot-machine {name}" in (command.epilog or ""), name


@pytest.mark.parametrize("topic", ["deploy", "deploys", "env"])
def test_help_about_a_topic(topic: str) -> None:
    done = CliRunner().invoke(commands, ["help", topic])

    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: commands {topic}" if topic in COMMANDS else "# ")


def test_help_lists_commands_and_pages() -> None:
    done = CliRunner().invoke(commands, ["help"])

    assert "  deploy " in done.stdout
    assert {path.stem for path in DOCS.glob("*.md")} == set(manual.pages())
    assert "configuration" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    done = CliRunner().invoke(commands, ["completion", shell])

    assert done.exit_code == 0
    assert "_SLOT_MACHINE_COMPLETE" in done.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)


def test_help_of_a_command_that_has_a_page_shows_both() -> None:
    done = CliRunner().invoke(commands, ["help", "stats"])

    assert "--since" in done.output
    assert (DOCS / "stats.md").read_text() in done.output


def test_help_about_nothing_names_the_nearest_topic() -> None:
    done = CliRunner().invoke(commands, ["help", "depoys"])

    assert isinstance(done.exception, ConfigError)
    assert "`slot-machine help deploys`" in done.exception.hint
