"""What the commands ask of the daemon, and what they do beside one that hangs."""

import socket

import pytest
from click.testing import CliRunner

from slot_machine.cli import client, link
from slot_machine.cli.main import commands
from slot_machine.core.errors import Unreachable


def test_question_to_a_daemon_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="timed out"):
        client.Client(silent.getsockname()[1]).status()


@pytest.mark.parametrize("option", ["--by", "--message"])
def test_text_for_which_the_history_has_no_room_is_wrong_usage(option: str) -> None:
    done = CliRunner().invoke(commands, ["restart", option, "x" * 2001])

    assert done.exit_code == 2
    assert "2001 characters" in done.output


def test_long_branch_is_cut_for_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[client.Json | None] = []
    monkeypatch.setattr(client.Client, "_call", lambda _, __, ___, body: asked.append(body))
    client.Client(1).deploy("c0ffee", ref="feature/" + "x" * 240)

    (body,) = asked
    assert body
    assert len(str(body["ref"])) == 200
