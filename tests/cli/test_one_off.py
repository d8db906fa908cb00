"""Whom root believes about the user of a command."""

import os
from typing import cast

import pytest

from slot_machine.cli import one_off, render
from slot_machine.cli.client import Client, Json
from slot_machine.cli.main import commands
from slot_machine.core.defaults import APP_VARIABLE
from slot_machine.core.errors import Refused
from slot_machine.host.process import foreground
from slot_machine.host.process.foreground import Whose

DAEMONS, APPS, ROOT = 54_321, 54_322, 0


class Answered:
    def __init__(self, daemon_uid: int | None) -> None:
        self.daemon_uid = daemon_uid


def reply(uid: int) -> Json:
    return {"uid": uid, "gid": uid, "groups": [0, uid], "umask": 0o27, "folder": "/", "environment": {"A": "\udcff"}}


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Whose]:
    found: list[Whose] = []

    def run(_command: object, _folder: str, _env: object, whose: Whose) -> int:
        found.append(whose)
        return 0

    monkeypatch.setattr(os, "geteuid", lambda: ROOT)
    monkeypatch.setattr(foreground, "run", run)
    return found


def asked(daemon_uid: int | None, uid: int) -> None:
    one_off.run(cast(Client, Answered(daemon_uid)), ["true"], reply(uid))


def test_roots_daemon_may_name_any_user(begun: list[Whose]) -> None:
    asked(ROOT, APPS)
    asked(ROOT, ROOT)

    assert [whose.uid for whose in begun] == [APPS, ROOT]
    assert begun[0] == Whose(APPS, APPS, [0, APPS], 0o27)


def test_another_users_daemon_names_no_one_but_its_user_and_no_groups(begun: list[Whose]) -> None:
    for uid in (ROOT, APPS):
        with pytest.raises(Refused, match=f"the daemon of user {DAEMONS} names"):
            asked(DAEMONS, uid)
    asked(DAEMONS, DAEMONS)

    assert begun == [Whose(DAEMONS, DAEMONS, (), 0o27)]


def test_what_answers_over_tcp_is_not_believed(begun: list[Whose]) -> None:
    with pytest.raises(Refused):
        asked(None, ROOT)
    assert not begun


def test_without_root_there_is_no_other_user(begun: list[Whose], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: DAEMONS)

    with pytest.raises(Refused, match="the app's user is"):
        asked(ROOT, APPS)
    asked(DAEMONS, DAEMONS)

    assert len(begun) == 1


@pytest.mark.parametrize("words", [["env", "-a", "shop", "list"], ["env", "list", "-a", "shop"], ["run", "-a", "shop"]])
def test_the_app_may_be_named_in_any_place(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(APP_VARIABLE, "")
    named: list[str] = []

    def client() -> Client:
        named.append(os.environ[APP_VARIABLE])
        raise Refused("enough")

    monkeypatch.setattr(render, "client", client)
    with pytest.raises(Refused, match="enough"):
        commands.main(words, standalone_mode=False)
    assert named == ["shop"]


def test_what_follows_the_command_is_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[object, ...]] = []

    class Asked:
        def run(self, program: str, process: str, *, previous: bool) -> Json:
            seen.append((program, process, previous))
            return {"success": False, "error": "enough"}

    monkeypatch.setattr(render, "client", Asked)
    for words in (["run", "--previous", "ls", "--help", "-a"], ["exec", "--", "--previous"], ["run"]):
        with pytest.raises(SystemExit):
            commands.main(words, standalone_mode=False)

    assert seen == [("ls", "", True), ("--previous", "", False), ("a shell", "", False)]
