"""The commands of an app that a cluster runs: they are those of one machine, with the same words and exit codes."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import pytest

from slot_machine import __main__ as program
from slot_machine.cli.cluster import status
from slot_machine.engines import open as kinds
from slot_machine.engines.engine import Finding
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
    assert (events[-1]["release"], events[-1]["previous_commit"]) == (2, commit)


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


def test_status_tells_the_copies_of_several_processes_apart(run: Run) -> None:
    run("deploy", "--quiet")
    found = run("status", "--json").json()
    copy, attempt = cast(list[dict[str, object]], found["copies"])[0], cast(dict[str, object], found["last_attempt"])
    found["copies"] = [copy, copy | {"process": "mail"}]
    found["last_attempt"] = attempt | {"result": "running", "stage": ""}
    shown = "\n".join(status.lines(found))
    assert f"web {copy['id']}" in shown
    assert f"mail {copy['id']}" in shown
    assert "runs for" in shown


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
    (repository.path / ".env").rename(repository.path / ".away")
    forth = run("rollback")
    assert (forth.code, "there is no env_file" in forth.err) == (0, True)
    assert run("rollback").code == 0
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
    told = {"success": True, "maintenance": True, "warnings": []}
    assert run("maintenance", "on", "--json").json() == told
    assert run("maintenance", "off", "--json").json() == told | {"maintenance": False}


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
        (("deploy", "--hold"), "`deploy --hold`"),
        (("deploy", "--wait"), "`deploy --wait`"),
        (("deploy", "--setup"), "`deploy --setup`"),
        (("deploy", "--detach"), "`deploy --detach`"),
        (("run", "--previous", "ls"), "`run --previous`"),
        (("logs", "--slot", "a"), "`logs --slot`"),
        (("maintenance", "on", "--message", "x"), "`maintenance on --message`"),
        (("cancel", "--force"), "`cancel --force`"),
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
    assert f"{named} is for one machine" in done.err
    assert "hint: " in done.err
    assert not cluster.records


def test_app_of_this_machine_is_reached_by_its_name(run: Run) -> None:
    for words in (("status", "-a", "nobody"), ("-a", "nobody", "deploy"), ("stats", "-a", "nobody")):
        done = run(*words)
        assert (done.code, "for one machine" in done.err) == (1, False), words
        assert "nobody" in done.err


def test_engine_check_says_what_to_do(cluster: Cluster, run: Run) -> None:
    assert run("engine", "check") == (0, "ok     the client is installed\n", "")
    cluster.findings.append(Finding("the token ends in 12 h", "log in with a longer one", fatal=False))
    assert run("engine", "check").code == 0
    cluster.findings.append(Finding("the context leads to a worker", "name a manager"))
    wrong = run("engine", "check")
    assert (wrong.code, wrong.out.splitlines()[1:]) == (
        1,
        [
            "note   the token ends in 12 h",
            "       hint: log in with a longer one",
            "wrong  the context leads to a worker",
            "       hint: name a manager",
        ],
    )
    checks = run("engine", "check", "--json").json()
    assert checks["success"] is False
    assert [one["level"] for one in checks["checks"]] == ["ok", "note", "wrong"]  # type: ignore[attr-defined]


def test_engine_check_without_an_engine(repository: Repository, run: Run) -> None:
    (repository.path / "slot-machine.json").write_text('{"start_command": "serve"}')
    assert "has no `engine`" in run("engine", "check", "--json").json()["error"]  # type: ignore[operator]
    (repository.path / "slot-machine.json").unlink()
    assert "there is no slot-machine.json here" in run("engine", "check").err


@pytest.mark.parametrize("command", ["start", "install"])
def test_no_daemon_is_started(run: Run, command: str) -> None:
    refused = run(command, *(["--user-unit"] if command == "install" else []))
    assert (refused.code, refused.out) == (1, "")
    assert "a cluster runs the app, and no daemon" in refused.err
    assert "`slot-machine deploy`" in refused.err


def test_doctor_names_the_cluster(run: Run) -> None:
    found = run("doctor", "--json").json()
    assert found["success"] is True
    lines = {one["check"]: one["text"] for one in found["checks"]}  # type: ignore[attr-defined]
    assert lines["engine"].startswith("swarm, context production, runs the app")
    assert not lines.keys() & {"ports", "daemon", "systemd"}


def test_bad_files_are_told_before_anything_begins(repository: Repository, cluster: Cluster, run: Run) -> None:
    (repository.path / ".env").write_text("API_TOKEN=a-secret-value\nno variable\n")
    bad = run("deploy", "--json")
    assert bad.code == 1
    assert "line 2 is not NAME=value" in str(bad.json()["error"])
    assert "secret" not in bad.out + bad.err
    (repository.path / ".env").unlink()
    assert "there is no env_file" in run("deploy").err
    assert "there is no env_file" in run("restart").err
    unknown = run("deploy", "nothing").err
    assert "'nothing' is not a commit" in unknown
    assert "daemon" not in unknown
    repository.commit({"slot-machine.json": json.dumps(FIELDS | {"health_status": 7})})
    run("status")
    assert not cluster.records


def test_files_that_no_commit_has_are_told(repository: Repository, run: Run) -> None:
    (repository.path / "new.js").write_text("")
    assert "warning: not committed, so not deployed: new.js" in run("deploy").err
    assert "not committed" not in run("deploy", "main").err


def test_commit_brings_its_own_fields_of_a_version(repository: Repository, cluster: Cluster, run: Run) -> None:
    old = repository.commit({"slot-machine.json": json.dumps(FIELDS | {"start_command": "old", "port": 4000})})
    repository.commit({"slot-machine.json": json.dumps(FIELDS)})
    (repository.path / ".env").write_text("")
    done = run("deploy", old, "--json")
    assert cluster.services["web"].version.start_command == "old"
    assert cluster.services["web"].daemon.port == 3000
    assert "port differs from" in str(done.json()["warnings"])


def test_app_config_names_the_file_of_the_commit(repository: Repository, cluster: Cluster, run: Run) -> None:
    repository.commit({"shop/app.json": '{"start_command": "other"}'})
    own = FIELDS | {"app_config": "shop/app.json", "env_file": ""}
    (repository.path / "slot-machine.json").write_text(json.dumps(own))
    assert run("deploy").code == 0
    assert cluster.services["web"].version.start_command == "other"
    assert cluster.services["web"].env_digest == ""


def test_interrupted_deploy_exits_as_all_interrupted_commands(
    cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(cluster)
    engine.before = lambda step: signal.raise_signal(signal.SIGINT) if step == "wait" else None
    monkeypatch.setattr(kinds, "opened", lambda *_: engine)
    stopped = run("deploy", "--json")
    assert (stopped.code, stopped.json()["error"], cluster.web) == (130, "interrupted", "")
    assert json.loads(run("history", "--json").out)[0]["result"] == "cancelled"


def test_cancel_of_an_attempt_whose_computer_is_gone(cluster: Cluster, run: Run) -> None:
    assert "nothing runs" in run("cancel").err
    run("deploy", "--quiet")
    cluster.records[1] = msgspec.structs.replace(cluster.records[1], ended=None)
    assert "runs since" in run("deploy", "--force").err
    assert "it is live, and not cancelled" in run("cancel").out
    assert cluster.history == [(1, "deploy", "succeeded")]
    refused = run("cancel", "--json")
    assert (refused.code, refused.json()["success"], "nothing runs" in str(refused.json()["error"])) == (1, False, True)
    cluster.records[1] = msgspec.structs.replace(cluster.records[1], ended=None)
    ended = run("cancel", "--json").json()
    assert (ended["success"], ended["kind"], ended["complete"]) == (True, "deploy", True)


def test_status_in_eighty_columns(cluster: Cluster, run: Run) -> None:
    run("deploy", "--quiet")
    cluster.printed = "\x1b[31mred"
    shown = run("status").out.splitlines()
    assert max(map(len, shown)) <= 80
    assert [line.split()[0] for line in shown if not line.startswith(" ")] == [
        "app",
        "live",
        "health",
        "copies",
        "last",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_git_does_not_run_as_root_in_the_callers_repository(
    repository: Repository, cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    assert run("deploy").code == 0
    os.chown(repository.path, 1000, 1000)
    for command in (("deploy", "--force"), ("export", "swarm"), ("export", "dockerfile")):
        assert "run this without sudo" in run(*command).err
    os.chown(repository.path, 0, 0)
    os.chown(repository.path / ".git", 1000, 1000)
    assert "run this without sudo" in run("deploy", "--force").err
    assert len(cluster.records) == 1


def test_no_record_has_what_only_a_daemon_uses(repository: Repository, cluster: Cluster, run: Run) -> None:
    """Its addresses may have passwords in them, and others may read an engine's records."""
    secret = {"notify": ["https://hooks.example.com/a-token"], "follow": {"remote": "https://u:a-token@example.com/r"}}
    repository.commit({"slot-machine.json": json.dumps(FIELDS | secret)})
    assert run("deploy", "--quiet").code == 0
    assert "already live" in run("deploy", "--quiet").out
    assert run("restart", "--quiet").code == 0
    assert cluster.records
    assert "a-token" not in repr(cluster.records)
