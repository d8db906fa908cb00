"""The client of the daemon's API beside a daemon that hangs."""

import socket

import pytest

from slot_machine.cli import client
from slot_machine.core.errors import Unreachable


def test_question_to_a_daemon_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="timed out"):
        client.Client(silent.getsockname()[1]).status()
