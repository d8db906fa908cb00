"""A deploy on several servers: what a failure leaves out, and what it takes back."""

import json

import pytest

from slot_machine.cli import who
from tests.repository import Repository
from tests.servers import FAILS, Servers, head

Output = pytest.CaptureFixture[str]
EACH = ("--host", "x", "--host", "y", "--host", "z")
ALL = (*EACH, "deploy", "--all-or-nothing")


def test_several_servers_get_it_one_after_the_other(repository: Repository, servers: Servers, capfd: Output) -> None:
    commit = head(repository)

    assert servers.run(*EACH, "deploy") == 0
    out, err = capfd.readouterr()
    assert out == "".join(f"{host}: deployed {commit} to slot a\n" for host in "xyz")
    assert [line for line in err.splitlines() if line.startswith("==")] == ["== x", "== y", "== z"]


@pytest.mark.usefixtures("repository")
def test_each_server_tells_what_to_do_next(servers: Servers, capfd: Output) -> None:
    for host in "xyz":
        (servers.folder / host / "more").write_text(f', "held": true, "preview_url": "https://{host}/?preview"')

    assert servers.run(*EACH, "deploy", "--hold") == 0
    err = capfd.readouterr().err
    assert [line for line in err.splitlines() if line.startswith("preview:")] == [
        f"preview: https://{host}/?preview" for host in "xyz"
    ]
    assert err.count("`slot-machine promote` makes it live") == 3
    for quiet in ("--quiet", "--json"):
        assert servers.run(*EACH, "deploy", "--hold", quiet) == 0
        assert "preview:" not in capfd.readouterr().err


@pytest.mark.usefixtures("repository")
def test_first_failure_leaves_out_the_rest(servers: Servers, capfd: Output) -> None:
    (servers.folder / "y" / "fails").write_text(FAILS)

    assert servers.run(*EACH, "deploy") == 1
    err = capfd.readouterr().err
    assert "error: y: health: no answer\nhint: look\n" in err
    assert err.endswith("not begun: z\n")
    assert servers.asked("z") == []
    assert len(servers.asked("x")) == 3


@pytest.mark.usefixtures("repository")
def test_several_servers_have_one_document(servers: Servers, capfd: Output) -> None:
    servers.refuse("y", "Connection refused")

    assert servers.run(*ALL, "--json", "--quiet") == 1
    document = json.loads(capfd.readouterr().out)
    assert document["success"] is False
    assert [(one["host"], one["result"]) for one in document["hosts"]] == [
        ("x", "taken back"),
        ("y", "failed"),
        ("z", "not begun"),
    ]
    assert document["hosts"][1]["reply"]["error"].startswith("cannot connect to y")
    assert document["hosts"][2]["reply"] is None


@pytest.mark.usefixtures("repository")
def test_events_say_which_server_they_are_of(servers: Servers, capfd: Output) -> None:
    assert servers.run(*EACH, "deploy", "--json", "--stream") == 0
    *events, last = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(event["host"], event["event"]) for event in events] == [
        (host, event) for host in "xyz" for event in ("started", "finished")
    ]
    assert [one["host"] for one in last["hosts"]] == ["x", "y", "z"]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ("", "[rollback][--by={}][--message=the deploy on z failed][--json][--][c0ffee]"),
        (', "held": true', "[abort][--by={}][--message=the deploy on z failed][--json]"),
    ],
)
def test_all_or_nothing_takes_back_what_was_done(
    more: str,
    asked: str,
    servers: Servers,
    capfd: Output,
) -> None:
    (servers.folder / "z" / "fails").write_text(FAILS)
    for host in ("x", "y"):
        (servers.folder / host / "more").write_text(more)

    assert servers.run(*ALL) == 1
    for host in ("x", "y"):
        assert servers.asked(host)[-1] == asked.format(who.who())
    err = capfd.readouterr().err
    assert err.index("\ny: ") < err.index("\nx: ")


@pytest.mark.usefixtures("repository")
def test_server_on_which_nothing_changed_is_not_rolled_back(
    servers: Servers,
) -> None:
    (servers.folder / "z" / "fails").write_text(FAILS)
    (servers.folder / "x" / "more").write_text(', "already_live": true')

    assert servers.run(*ALL) == 1
    assert not any("rollback" in words for words in servers.asked("x"))
    assert any("rollback" in words for words in servers.asked("y"))


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("trouble", ["nothing was live", "refused", "no answer", "ssh"])
def test_rollback_that_fails_is_told_and_the_others_go_on(
    trouble: str,
    servers: Servers,
    capfd: Output,
) -> None:
    (servers.folder / "z" / "fails").write_text(FAILS)
    folder = servers.folder / "y"
    if trouble == "nothing was live":
        (folder / "previous").write_text("")
    elif trouble == "refused":
        (folder / "back").write_text('{"success": false, "error": "another deploy runs"}')
    elif trouble == "no answer":
        (folder / "back").write_text("")
    else:
        (servers.folder / "z" / "bin" / "slot-machine").write_text(
            f"#!/bin/sh\necho Connection refused > {folder}/refuses\ncat fails\nexit 1\n"
        )

    assert servers.run(*ALL, "--json") == 1
    out, err = capfd.readouterr()
    assert "not rolled back" in err
    assert [one["result"] for one in json.loads(out)["hosts"]] == ["taken back", "not taken back", "failed"]


@pytest.mark.usefixtures("repository")
def test_interrupt_says_what_was_not_begun(
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Output,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("slot_machine.cli.remote.deploying._asked", interrupted)

    assert servers.run(*EACH, "deploy") == 130
    assert "not begun: y, z" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("running", "attempts", "code", "result"),
    [
        ("setup", "{}", 0, "failed"),
        ("setup", "{}", 1, "unknown"),
        ("setup", "somebody else's", 0, "unknown"),
        ("", "{}", 0, "unknown"),
    ],
)
def test_deploy_whose_connection_was_lost_is_cancelled(
    running: str, attempts: str, code: int, result: str, repository: Repository, servers: Servers, capfd: Output
) -> None:
    status = {"running": running, "last_attempt": {"commit": attempts.format(head(repository))}}
    (servers.folder / "y" / "status").write_text(json.dumps(status))
    (servers.folder / "y" / "bin" / "slot-machine").write_text(
        f"#!/bin/sh\ncase $1 in status) cat status; exit ;; cancel) exit {code} ;; esac\ntouch ../lost\nexit 255\n"
    )

    assert servers.run(*ALL, "--json") == 1
    out, err = capfd.readouterr()
    assert "the connection to y was lost" in err
    assert [one["result"] for one in json.loads(out)["hosts"]] == ["taken back", result, "not begun"]
