"""The commands of an app that a cluster runs: they are those of one machine, with the same words and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from slot_machine import __main__ as program
from slot_machine.engines import open as kinds
from tests.fake_engine import Cluster, FakeEngine, FakeImages
from tests.repository import Repository

ENGINE = {"kind": "swarm", "context": "production", "registry": "registry.example.com/team"}
FIELDS = {"start_command": "node server.js", "name": "shop", "env_file": ".env", "engine": ENGINE}


class Printed(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


Run = Callable[..., Printed]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Repository:
    for name in ("SUDO_UID", "SSH_CONNECTION", "SLOT_MACHINE_APP", "SLOT_MACHINE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(kinds, "opened", lambda *_: FakeEngine(cluster))
    monkeypatch.setattr(kinds, "images", lambda _: FakeImages())
    found = Repository(tmp_path)
    monkeypatch.chdir(found.path)
    found.commit({"slot-machine.json": json.dumps(FIELDS), ".gitignore": ".env\n"})
    (found.path / ".env").write_text("API_TOKEN=a-secret-value\n")
    return found


@pytest.fixture
def run(repository: Repository, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    assert repository

    def called(*args: str) -> Printed:
        monkeypatch.setattr("sys.argv", ["slot-machine", *args])
        capfd.readouterr()
        with monkeypatch.context() as patched:
            patched.setattr("slot_machine.host.printing.guard", lambda: None)
            patched.setenv("SLOT_MACHINE_APP", "")  # So that what `-a` sets is unset afterwards.
            try:
                program.main()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
        return Printed(code, *capfd.readouterr())

    return called


def test_deploy_shows_the_stages_and_tells_what_is_live(repository: Repository, cluster: Cluster, run: Run) -> None:
    commit = repository.git("rev-parse", "HEAD")
    done = run("deploy", "main", "--message", "the first", "--by", "ada")
    assert done.code == 0, done.err
    assert done.out == f"deployed {commit} as release 1 of shop\n"
    assert {line.split()[0] for line in done.err.splitlines()} >= {"build", "health"}
    assert cluster.web == commit
    assert cluster.services["web"].image == f"registry.example.com/team/shop:{commit}"
    record = cluster.records[1]
    assert (record.who, record.message, record.ref, record.subject) == ("ada", "the first", "main", "files")
    again = run("deploy", "--json")
    assert (again.code, again.json()["already_live"], cluster.history) == (0, True, [(1, "deploy", "succeeded")])
    forced = run("deploy", "--force", "--json", "--stream")
    events = [json.loads(line) for line in forced.out.splitlines()]
    assert {event["stage"] for event in events[:-1]} >= {"build", "health"}
    assert events[-1]["release"] == 2


def test_status_names_the_cluster_and_each_copy(repository: Repository, cluster: Cluster, run: Run) -> None:
    nothing = run("status")
    assert (nothing.code, "nothing" in nothing.out) == (3, True)
    run("deploy", "--quiet")
    well = run("status")
    assert well.code == 0
    assert well.out.splitlines()[0].startswith("app           shop on swarm, context production")
    assert "web.1" in well.out
    (repository.path / ".env").write_text("API_TOKEN=another-secret\n")
    found = run("status", "--json").json()
    assert {name: found[name] for name in ("engine", "context", "release", "healthy", "updating", "wanted")} == {
        "engine": "swarm",
        "context": "production",
        "release": 1,
        "healthy": True,
        "updating": False,
        "wanted": {"web": 1},
    }
    assert found["commit"] == found["live_commit"] == cluster.web
    assert found["env_changed"] is True
    cluster.bad.add(cluster.web)
    bad = run("status", "--json")
    assert (bad.code, bad.json()["unhealthy_reason"]) == (3, "healthy are 0 of 1 web")


def test_history_and_show_have_the_fields_of_one_machine(repository: Repository, cluster: Cluster, run: Run) -> None:
    run("deploy", "--quiet")
    cluster.bad.add(repository.commit({"slot-machine.json": json.dumps(FIELDS), "bad": ""}))
    failed = run("deploy", "--json")
    assert (failed.code, failed.json()["stage"]) == (1, "health")
    table = run("history").out.splitlines()
    assert [line.split()[0] for line in table] == ["ID", "2", "1"]
    latest, first = json.loads(run("history", "--json").out)
    assert (latest["result"], latest["stage"], first["result"]) == ("failed", "health", "succeeded")
    assert run("show", "1", "--json").json() == first
    assert "web.1 is not healthy" in run("show").out
    assert (run("show", "9").code, run("history", "--jobs").code) == (1, 1)


def test_rollback_and_restart(repository: Repository, cluster: Cluster, run: Run) -> None:
    first = repository.git("rev-parse", "HEAD")
    run("deploy", "--quiet")
    repository.commit({"slot-machine.json": json.dumps(FIELDS), "new": ""})
    run("deploy", "--quiet")
    back = run("rollback")
    assert (back.code, back.out, cluster.web) == (0, f"rolled back to {first} of shop\n", first)
    (repository.path / ".env").write_text("API_TOKEN=another-secret\n")
    assert run("restart").out == f"restarted {first} of shop\n"
    assert "another-secret" not in repr(cluster.records)


def test_logs_run_and_maintenance(cluster: Cluster, run: Run) -> None:
    assert run("run", "true").code == 1
    run("deploy", "--quiet")
    assert run("logs").out == "2026-11-27T12:00:00Z web.1 a line\n"
    line = run("logs", "--process", "worker", "--json").json()
    assert line == {"time": "2026-11-27T12:00:00Z", "copy": "worker.1", "process": "worker", "text": "a line"}
    assert run("run", "--", "rails", "db:seed", "--force").code == 3
    assert run("exec").code == 1
    assert run("maintenance", "on").code == 0
    assert run("status", "--json").json()["maintenance"] is True
    assert (run("maintenance", "off").code, cluster.maintenance) == (0, False)


def test_env_changes_the_file_here(run: Run) -> None:
    assert run("env", "list", "--json").json()["live"] == ""
    run("deploy", "--quiet")
    assert run("env", "list", "--json").json()["live"] == "same"
    done = run("env", "set", "LEVEL=debug")
    assert done.out == "set LEVEL; `slot-machine restart` brings it to the cluster\n"
    assert run("env", "get", "LEVEL", "--show").out == "debug\n"
    other = run("env", "list")
    assert (other.out, "`slot-machine restart`" in other.err) == ("API_TOKEN\nLEVEL\n", True)
    assert run("env", "unset", "LEVEL").code == 0
    assert run("env", "list", "--json").json()["live"] == "same"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("deploy", "--hold"), "--hold "),
        (("deploy", "--wait"), "--wait "),
        (("deploy", "--setup"), "--setup "),
        (("deploy", "--detach"), "--detach "),
        (("run", "--previous", "ls"), "--previous "),
        (("logs", "--slot", "a"), "--slot "),
        (("maintenance", "on", "--message", "x"), "--message "),
        (("cancel", "--force"), "--force "),
        (("promote",), "`promote`"),
        (("reload",), "`reload`"),
        (("stats",), "`stats`"),
        (("webhook",), "`webhook`"),
    ],
)
def test_what_is_for_one_machine_is_refused_by_name(
    cluster: Cluster, run: Run, words: tuple[str, ...], named: str
) -> None:
    done = run(*words)
    assert (done.code, done.out) == (1, "")
    assert f"{named.strip()} is for one machine" in done.err
    assert "hint: " in done.err
    assert not cluster.records


def test_app_of_this_machine_is_reached_by_its_name(run: Run) -> None:
    for words in (("status", "-a", "nobody"), ("-a", "nobody", "deploy"), ("stats", "-a", "nobody")):
        done = run(*words)
        assert (done.code, "for one machine" in done.err) == (1, False), words
        assert "nobody" in done.err
