"""Which app a command is about."""

import json
import os
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from slot_machine.cli import app_option, daemons, main, target
from slot_machine.core.errors import ConfigError
from slot_machine.host import registry
from slot_machine.host.process.proc import Identity
from slot_machine.host.registry import Entry


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a data folder, in one of whose trees there is another configuration."""
    monkeypatch.delenv("SLOT_MACHINE_APP", raising=False)
    shop = tmp_path / "shop"
    tree = shop / ".slot-machine" / "tree-1"
    tree.mkdir(parents=True)
    for path in (shop, tree):
        (path / "slot-machine.json").write_text(json.dumps({"user": "www", "api_port": 9111}))
    monkeypatch.setattr(registry, "running", list)
    return shop


def test_nearest_configuration_is_that_of_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")

    assert target.configuration() == str(folder / "slot-machine.json")
    assert target.user() == "www"
    assert target.client().name == "shop"


def test_in_a_tree_of_a_data_folder_the_commits_file_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("api.sock", "daemon.lock"):
        (folder / ".slot-machine" / name).touch()
    monkeypatch.chdir(folder / ".slot-machine" / "tree-1")

    assert target.configuration() == ""
    assert target.client().name == "shop"
    assert target.client()._port == 9111
    (folder / ".slot-machine" / "daemon.lock").write_text("7\n9112\n")
    assert target.client()._port == 9112


def test_app_that_is_named_has_no_file_in_this_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SLOT_MACHINE_APP", "blog")

    assert target.configuration() == ""
    with pytest.raises(ConfigError, match="no running daemon is called blog") as refused:
        target.client()
    assert refused.value.hint == daemons.OTHERS


def test_daemon_of_another_user_has_only_that_users_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = str(folder / "slot-machine.json")
    (folder / ".git").mkdir()
    ours = Entry(
        name="shop",
        data="/elsewhere",
        repo=str(folder),
        files=(config,),
        port=1,
        api_port=2,
        version="1",
        uid=os.geteuid(),
        process=Identity(1, 1, ""),
    )
    monkeypatch.setattr(registry, "running", lambda: [ours])
    assert daemons.with_files("/data", config) == daemons.around(str(folder)) == ours

    theirs = msgspec.structs.replace(ours, uid=os.geteuid() + 1)
    monkeypatch.setattr(registry, "running", lambda: [theirs])
    assert daemons.with_files("/data", config) is None
    with pytest.raises(ConfigError, match="no running daemon has the repository"):
        daemons.around(str(folder))


@pytest.mark.parametrize(("text", "error"), [("[]", "is not a JSON object"), ('{"api_port": "x"}', "expected a port")])
def test_configuration_that_cannot_be_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "slot-machine.json").write_text(text)

    with pytest.raises(ConfigError, match=error):
        target.client()


def test_each_command_about_an_app_takes_its_name_and_no_other_does() -> None:
    context = click.Context(main.commands)

    def takes(command: click.Command) -> bool:
        below = command.commands.values() if isinstance(command, click.Group) else ()
        return "app" in {option.name for option in command.params} and all(map(takes, below))

    for name in main.COMMANDS:
        command = main.commands.get_command(context, name)
        assert command
        assert takes(command) == (name not in app_option.OF_NO_APP), name


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["-a", "shop", "start"], "-a names a running app, but `start` is about none"),
        (["start", "-a", "shop"], "No such option"),
        (["status", "-a", ""], "the name of an app is empty"),
        (["status", "-a"], "Option '-a' requires an argument."),
    ],
)
def test_app_is_named_where_one_can_be(words: list[str], error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOT_MACHINE_APP", "")
    done = CliRunner().invoke(main.commands, words)

    assert done.exit_code == 2
    assert error in done.stderr


@pytest.mark.parametrize(
    "words", [["-a", "shop", "cancel"], ["cancel", "-a", "shop"], ["env", "list", "--app", "shop"]]
)
def test_option_stands_before_or_after_the_command(
    words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOT_MACHINE_APP", "blog")
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main.commands, words)

    assert str(done.exception) == "no running daemon is called shop"
