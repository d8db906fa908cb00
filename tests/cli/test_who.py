import os
import pwd

import pytest

from slot_machine.cli.who import who

SELF = pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, SELF),
        ({"SUDO_USER": "ada"}, "ada"),
        ({"SSH_CONNECTION": "192.0.2.7 50000 10.0.0.1 22"}, f"{SELF} from 192.0.2.7"),
        ({"SUDO_USER": "ada", "SSH_CONNECTION": "2001:db8::7 50000 ::1 22"}, "ada from 2001:db8::7"),
    ],
)
def test_who_runs_the_command(env: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_USER", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    assert who() == expected
