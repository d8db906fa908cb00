"""What `reload` prints, of one daemon and of all."""

import json
from collections.abc import Sequence

import pytest
from click.testing import CliRunner, Result

from slot_machine import __version__
from slot_machine.cli import daemons, reloading
from slot_machine.cli.client import Client, Json
from slot_machine.cli.commands import reload
from slot_machine.core.errors import ConfigError, Unreachable
from slot_machine.host import registry
from slot_machine.host.process.proc import Identity
from slot_machine.host.registry import Entry


class FakeClient(Client):
    """A daemon that has reloaded when it is asked the second time after that."""

    def __init__(self, name: str, refusal: Json | None = None, version: str = __version__, **known: object) -> None:
        super().__init__(1, name=name)
        self._refusal = refusal
        self._known: Json = {"reloads": 3, "version": version, "env_changed": False} | known
        self._asked = 0

    def status(self) -> Json:
        self._asked += 1
        return self._known | {"reloads": 3 + (self._asked > 3)}

    def reload(self) -> Json:
        return self._refusal or {"success": True}


class Gone(FakeClient):
    def reload(self) -> Json:
        raise Unreachable("it is gone", "look at its output")


REFUSED: Json = {"success": False, "error": "nothing was reloaded: bad", "hint": "correct it"}


def asked(monkeypatch: pytest.MonkeyPatch, clients: Sequence[FakeClient], *words: str) -> Result:
    by_name = {client.name: client for client in clients}
    entries = [
        Entry(
            name=name,
            data=f"/{name}",
            repo="",
            files=(),
            port=1,
            api_port=1,
            version="",
            uid=0,
            process=Identity(1, 1, ""),
        )
        for name in by_name
    ]
    monkeypatch.setattr(registry, "running", lambda: entries)
    monkeypatch.setattr(daemons, "client", lambda entry, _: by_name[entry.name])
    monkeypatch.setattr(reloading, "POLL_S", 0)
    return CliRunner().invoke(reload.command, ["--all", *words])


def test_each_result_is_told_and_one_failure_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = [FakeClient("a"), FakeClient("b", REFUSED), Gone("c"), FakeClient("d", env_changed=True)]

    done = asked(monkeypatch, clients)

    assert done.exit_code == 1
    assert done.stdout == f"a: reloaded, version {__version__}\nd: reloaded, version {__version__}\n"
    assert "b: error: nothing was reloaded: bad\nb: hint: correct it\n" in done.stderr
    assert "c: error: it is gone\n" in done.stderr
    assert (
        "d: warning: env_file has changed since the app was started, and the app keeps its environment" in done.stderr
    )


def test_json_is_one_document_with_the_same_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    done = asked(monkeypatch, [FakeClient("a"), FakeClient("b", REFUSED)], "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "success": False,
        "daemons": [
            {"name": "a", "data": "/a", "version": __version__, "warnings": [], "success": True},
            {"name": "b", "data": "/b", "warnings": [], "success": False}
            | {"error": "nothing was reloaded: bad", "hint": "correct it"},
        ],
    }


def test_no_daemon_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    done = asked(monkeypatch, [])
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "no daemon of yours runs; others may run under other users\n"


def test_daemon_of_another_installation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    done = asked(monkeypatch, [FakeClient("a", version="0.0.9")])
    assert done.exit_code == 0
    assert "a: warning: the daemon has an installation of its own, of version 0.0.9" in done.stderr


def test_daemon_that_does_not_come_back_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LIMIT_S", 0)
    done = asked(monkeypatch, [FakeClient("a")])
    assert done.exit_code == 1
    assert "a: error: it has not come back after 0 s" in done.stderr


def test_no_daemon_here_is_told_as_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Client:
        raise ConfigError("several may be meant", "name one")

    monkeypatch.setattr("slot_machine.cli.render.client", refuse)
    done = CliRunner().invoke(reload.command, ["--json"])
    assert done.exit_code == 1
    known = json.loads(done.stdout)
    assert (known["success"], known["error"], known["hint"]) == (False, "several may be meant", "name one")
