"""Deploys of an app on a swarm in memory: what the engine answers decides, and any failure goes back."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
import pytest

from slot_machine.core.errors import Busy, EngineFailed, Impossible, NoLogs, NothingLive
from slot_machine.core.origin import Description
from slot_machine.engines import attempt
from slot_machine.engines.client import Answer
from slot_machine.engines.engine import Logs, Steps
from slot_machine.engines.flow import Asked, Flow
from slot_machine.engines.image.layout import SHARED
from slot_machine.engines.release import Ended
from slot_machine.engines.shape import App, Values
from slot_machine.engines.swarm import names, nodes, one_off, running, shared_data
from slot_machine.engines.swarm.engine import SwarmEngine
from tests.engines.apps import on_swarm
from tests.engines.fake_swarm import BOOM, FakeSwarm, dig

Line = dict[str, object]


@pytest.fixture(autouse=True)
def _no_pause_before_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PAUSE_S", 0)


class Built:
    def build(self, app: App, platforms: Sequence[str]) -> Steps:
        yield f"{app.image} for {' '.join(platforms)}"
        return ""


class Shop:
    """An app, and the computer from which it is deployed. Its release N is the Nth attempt."""

    def __init__(self, version: dict[str, object] | None = None, **engine: object) -> None:
        self.swarm = FakeSwarm()
        self.version = version or {}
        self.fields: dict[str, object] = {"engine": {"replicas": 3, "registry": "r.example.com"} | engine}
        app = self.app("0")
        self.engine = SwarmEngine("shop", app.engine, self.swarm.docker, self.swarm.deploying)  # type: ignore[arg-type]

    def flow(self, variables: dict[str, str] | None = None) -> Flow:
        return Flow(self.engine, Built(), "shop", Asked("ann"), Values(variables or {}))

    def app(self, commit: str, variables: dict[str, str] | None = None) -> App:
        app = on_swarm(self.version, commit=commit * 40, fields=self.fields)
        return msgspec.structs.replace(app, release=0, env_digest=Values(variables or {}).digest)

    def lines(self, commit: str, variables: dict[str, str] | None = None) -> Iterator[Line]:
        return self.flow(variables).deploy(self.app(commit, variables), Description())

    def deploy(self, commit: str, variables: dict[str, str] | None = None) -> Line:
        """The reply."""
        return list(self.lines(commit, variables))[-1]

    def live(self) -> str:
        live = self.engine.live()
        return live.commit[0] if live else ""


def test_success_is_each_copy_of_this_release() -> None:
    shop = Shop()
    assert shop.deploy("1")["success"]
    assert shop.deploy("2")["success"]
    assert shop.swarm.running("shop_web") == ["2", "2", "2"]
    status = shop.engine.status()
    assert status.healthy
    assert not status.updating
    assert [copy.commit[0] for copy in status.copies] == ["2", "2", "2"]
    assert shop.engine.live() is not None
    assert shop.engine.platforms() == ("linux/amd64",)


@pytest.mark.parametrize("how", ["exit", "health", "image", "term"])
@pytest.mark.parametrize("pauses", [False, True])
def test_a_bad_version_is_a_failure_with_its_reason(how: str, pauses: bool) -> None:
    """The client of Docker exits with 0."""
    shop = Shop()
    shop.deploy("1")
    shop.swarm.bad[2], shop.swarm.pauses = how, pauses
    reply = shop.deploy("2")
    assert not reply["success"]
    assert reply["stage"] == "health"
    error = cast(str, reply["error"])
    words = {"exit": "exit code 3", "health": "healthy", "image": "No such image", "term": "exit code 0"}
    assert words[how] in error
    assert BOOM in error
    assert " on node" in error
    assert shop.live() == "1"
    assert shop.swarm.running("shop_web") == ["1", "1", "1"]
    assert shop.engine.status().healthy


def test_an_old_rollback_is_not_taken_for_a_new_one() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.swarm.bad[2] = "exit"
    shop.deploy("2")
    shop.swarm.settle()
    assert shop.deploy("3")["success"]


def test_the_end_of_an_old_copy_is_not_a_failure_of_the_next_release() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.swarm.bad[2] = "exit"
    assert not shop.deploy("2")["success"]
    # The record of the release is gone: its number is used again.
    shop.swarm.docker.drop("config", ["shop-release-2", "shop-release-2-end"])
    shop.swarm.bad.clear()
    assert shop.deploy("2")["success"]


def test_a_copy_that_crashed_long_ago_does_not_stop_the_way_back() -> None:
    shop = Shop()
    shop.deploy("1")
    crashed = next(task for task in shop.swarm.tasks if dig(task, "Status", "State") == "running")
    crashed |= {"Status": {"State": "failed", "Err": "task: non-zero exit (1)"}, "DesiredState": "shutdown"}
    shop.swarm.settle()
    shop.swarm.bad[2] = "exit"
    error = cast(str, shop.deploy("2")["error"])
    assert "not back" not in error
    assert shop.swarm.running("shop_web") == ["1", "1", "1"]


def test_a_first_deploy_that_fails_leaves_nothing() -> None:
    shop = Shop()
    shop.swarm.bad[1] = "exit"
    assert "exit code 3" in cast(str, shop.deploy("1")["error"])
    assert shop.swarm.services == {}
    assert shop.live() == ""
    shop.swarm.bad.clear()
    assert shop.deploy("1")["success"]


def test_a_copy_that_finds_no_node_fails_in_time_with_the_reason() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.swarm.bad[2] = "pending"
    error = cast(str, shop.deploy("2")["error"])
    assert "not done within" in error
    assert "insufficient resources" in error
    assert shop.live() == "1"


def test_a_wrong_count_is_repaired_and_told() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.swarm.miscounts = True
    lines = list(shop.lines("2"))
    assert lines[-1]["success"]
    assert shop.swarm.running("shop_web") == ["2", "2", "2"]
    assert any("miscounted" in cast(str, line.get("message", "")) for line in lines)


def test_somebody_else_is_told() -> None:
    shop = Shop()
    shop.deploy("1")

    def other() -> None:
        labels = cast(dict[str, str], dig(shop.swarm.services["shop_web"], "Spec", "Labels"))
        if labels[names.RELEASE] == "2":
            labels[names.RELEASE] = "9"

    shop.swarm.on_tick = other
    error = cast(str, shop.deploy("2")["error"])
    assert "somebody has begun another update" in error


WORKERS: dict[str, object] = {"processes": {"mail": "./mail", "clock": {"command": "./c", "singleton": True}}}


def test_a_version_that_never_becomes_healthy_touches_no_queue() -> None:
    shop = Shop(WORKERS)
    shop.deploy("1")
    shop.swarm.bad[2] = "health"
    releases = set()
    shop.swarm.on_tick = lambda: releases.update(shop.swarm.running("shop_mail"))
    assert not shop.deploy("2")["success"]
    assert releases == {"1"}


def test_a_worker_that_fails_takes_all_services_back() -> None:
    shop = Shop(WORKERS)
    shop.deploy("1")

    def fails_from_now_on() -> None:
        if "2" in shop.swarm.running("shop_web"):
            web = [task for task in shop.swarm.tasks if dig(task, "Spec", "ContainerSpec", "Image")]
            if all(dig(task, "Status", "State") == "running" for task in web[-3:]):
                shop.swarm.bad[2] = "exit" if shop.swarm.running("shop_web") == ["2", "2", "2"] else ""

    shop.swarm.on_tick = fails_from_now_on
    reply = shop.deploy("2")
    assert not reply["success"]
    failed = cast(str, reply["error"]).partition(":")[0]
    assert failed in ("mail", "clock")
    assert f"ps --no-trunc shop_{failed}" in cast(str, reply["hint"])
    for service in ("shop_web", "shop_mail", "shop_clock"):
        assert set(shop.swarm.running(service)) == {"1"}, service


def test_a_process_that_is_gone_is_removed_after_success_only() -> None:
    shop = Shop(WORKERS)
    shop.deploy("1")
    shop.version = {"processes": {"clock": {"command": "./c", "singleton": True}}}
    shop.swarm.bad[2] = "exit"
    assert not shop.deploy("2")["success"]
    assert "shop_mail" in shop.swarm.services
    assert shop.deploy("3")["success"]
    assert "shop_mail" not in shop.swarm.services
    assert "shop_clock" in shop.swarm.services


def test_old_workers_end_before_a_version_that_replaces_them() -> None:
    shop = Shop({"strategy": "replace", "processes": {"mail": "./mail"}})
    shop.deploy("1")
    seen = set()

    def look() -> None:
        if "2" in shop.swarm.running("shop_web"):
            seen.update(shop.swarm.running("shop_mail"))

    shop.swarm.on_tick = look
    assert shop.deploy("2")["success"]
    assert "1" not in seen
    assert shop.swarm.running("shop_mail") == ["2"]


def secrets(shop: Shop) -> list[str]:
    return [cast(str, one["given"]) for one in shop.swarm.stores["secret"].values()]


def test_a_rotated_key_is_removed_when_nobody_goes_back_to_it() -> None:
    shop = Shop()
    for number, key in enumerate(("one", "two", "three"), 1):
        assert shop.deploy(str(number), {"KEY": key})["success"]
    assert [content.splitlines()[-1] for content in secrets(shop)] == ["KEY=two", "KEY=three"]


def test_a_rollback_has_the_variables_of_its_release() -> None:
    shop = Shop()
    shop.deploy("1", {"KEY": "one"})
    shop.deploy("2", {"KEY": "two"})
    assert list(shop.flow().rollback(shop.app("0").daemon))[-1]["success"]
    live = shop.engine.live()
    assert live is not None
    assert (live.commit[0], live.env_digest) == ("1", Values({"KEY": "one"}).digest)


def test_a_rollback_to_variables_that_are_gone_gets_those_of_now() -> None:
    shop = Shop()
    for number in "1234":
        shop.deploy(number, {"KEY": number})
    flow = shop.flow({"KEY": "4"})
    assert list(flow.rollback(shop.app("0").daemon, "1111111"))[-1]["success"]
    live = shop.engine.live()
    assert live is not None
    assert (live.commit[0], live.env_digest) == ("1", Values({"KEY": "4"}).digest)


def test_a_restart_brings_new_variables() -> None:
    shop = Shop()
    shop.deploy("1", {"KEY": "one"})
    assert list(shop.flow({"KEY": "two"}).restart(shop.app("0").daemon))[-1]["success"]
    assert shop.swarm.running("shop_web") == ["2", "2", "2"]
    assert shop.live() == "1"


def test_no_record_has_a_value() -> None:
    shop = Shop()
    shop.deploy("1", {"KEY": "s3cret-value"})
    told = [call for call in shop.swarm.calls if "s3cret-value" in " ".join(call)]
    assert told == []
    assert "s3cret-value" not in json.dumps([one["given"] for one in shop.swarm.stores["config"].values()])


@pytest.mark.parametrize("text", ["", "{", "{}", '{"x": ' + "[" * 100_000])
def test_a_record_that_is_none_is_named(text: str) -> None:
    shop = Shop()
    shop.swarm.docker.keep("config", "shop-release-1", {names.APP: "shop", "slot-machine.record": "1"}, text)
    with pytest.raises(EngineFailed, match="record shop-release-1 is none"):
        shop.engine.releases()


def test_a_config_of_somebody_else_is_no_record() -> None:
    shop = Shop()
    for kind in ("record", "end"):
        shop.swarm.docker.keep("config", kind, {names.APP: "shop", f"slot-machine.{kind}": "latest"}, "")
    assert shop.engine.releases() == []


def test_two_computers_can_not_begin_one_release() -> None:
    shop = Shop()
    shop.deploy("1")
    release = shop.engine.releases()[0]
    with pytest.raises(Busy):
        shop.engine.begin(release)
    with pytest.raises(Busy):
        shop.engine.end(release, Ended(result="failed", ended_at="later"))
    assert shop.engine.releases()[0].result == "succeeded"


def test_a_record_of_a_newer_version_is_told() -> None:
    shop = Shop()
    shop.swarm.docker.keep(
        "config", "shop-release-1", {names.APP: "shop", "slot-machine.record": "1"}, '{"number": "x"}'
    )
    with pytest.raises(EngineFailed, match="shop-release-1"):
        shop.engine.releases()


def test_what_ends_while_it_is_asked_for_is_left_out() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.swarm.faults["inspect --type task"] = Answer(1, "[]", "Error: No such task: x\nError: No such task: y")
    assert shop.engine.status().copies == []


@pytest.mark.parametrize(
    "call", ["service ls", "node ls", "config ls", "stack deploy", "config create", "network create"]
)
def test_a_manager_that_is_away_is_an_error_in_words(call: str) -> None:
    shop = Shop()
    shop.swarm.faults[call] = Answer(1, "", "Cannot connect to the Docker daemon")
    reply = shop.deploy("1")
    assert not reply["success"]
    assert "Cannot connect" in cast(str, reply["error"])


def test_a_manager_may_be_away_for_a_moment() -> None:
    """As when another one becomes the leader."""
    shop = Shop()
    shop.deploy("1")

    def away() -> None:
        if 3 < shop.swarm.now_s - began_s < 20:
            shop.swarm.faults["service ls"] = Answer(1, "", "The swarm does not have a leader")
        else:
            shop.swarm.faults.clear()

    began_s = shop.swarm.now_s
    shop.swarm.on_tick = away
    assert shop.deploy("2")["success"]


def overtake(shop: Shop, words: str) -> list[int]:
    """The first two calls with these words come too late. The list has an entry for each call."""
    asked: list[int] = []

    def overtaken() -> None:
        asked.append(1)
        if len(asked) == 3:
            shop.swarm.faults.clear()

    shop.swarm.faults[words] = Answer(1, "", "Error response from daemon: rpc error: desc = update out of sequence")
    shop.swarm.on_calls[words] = overtaken
    return asked


def test_an_engine_that_has_just_written_to_a_service_is_asked_again() -> None:
    shop = Shop()
    shop.deploy("1")
    asked = overtake(shop, "stack deploy --resolve-image")
    assert shop.deploy("2")["success"]
    assert len(asked) == 3


def test_an_engine_that_has_just_written_to_a_node_is_asked_again() -> None:
    shop = Shop()
    asked = overtake(shop, "node update --label-add")
    nodes.has_image(shop.swarm.docker, shop.swarm.docker.nodes()[:1], "shop", "1")
    assert len(asked) == 3
    asked = overtake(shop, "node update --label-rm")
    nodes.forget_images(shop.swarm.docker, "shop", [])
    assert len(asked) == 3
    assert not any(node.labels for node in shop.swarm.docker.nodes())


def test_a_manager_that_stays_away_ends_the_wait_and_the_way_back_is_tried() -> None:
    shop = Shop()
    shop.deploy("1")

    def away() -> None:
        if "2" in shop.swarm.running("shop_web"):
            shop.swarm.faults["service ls"] = Answer(1, "", "Cannot connect to the Docker daemon")

    shop.swarm.on_tick = away
    reply = shop.deploy("2")
    assert not reply["success"]
    assert "what was live before is not back" in cast(str, reply["error"])
    shop.swarm.faults.clear()
    shop.swarm.on_tick = lambda: None
    assert shop.deploy("3")["success"]


@pytest.mark.parametrize("ticks", range(12))
def test_a_client_that_is_killed_leaves_a_swarm_that_can_be_deployed_to(ticks: int) -> None:
    """At any moment of the rollout: the engine goes on, or goes back, by itself."""
    shop = Shop(WORKERS)
    shop.deploy("1")

    class Killed(BaseException):
        pass

    count = iter(range(100))

    def kill() -> None:
        if next(count) == ticks:
            raise Killed

    shop.swarm.on_tick = kill
    shop.engine.end = lambda *_: None  # type: ignore[method-assign]
    try:
        for _ in shop.lines("2"):
            pass
    except Killed:
        pass
    del shop.engine.end
    shop.swarm.on_tick = lambda: None
    shop.swarm.settle()
    assert shop.live() in ("1", "2")
    begun = shop.engine.releases()[0]
    if begun.result == "running":
        with pytest.raises(Busy):
            shop.engine.begin(begun)
        shop.engine.end(begun, Ended(result="cancelled", ended_at="now"))
    assert shop.deploy("3")["success"]
    for service in shop.swarm.services:
        assert set(shop.swarm.running(service)) == {str(shop.engine.releases()[0].number)}


def test_the_status_tells_of_a_mixture() -> None:
    shop = Shop(WORKERS)
    shop.deploy("1")
    shop.swarm.pauses = True
    shop.swarm.bad[2] = "exit"
    release = msgspec.structs.replace(shop.engine.releases()[0], number=2, target=2)
    app = msgspec.structs.replace(shop.app("2"), release=2)
    shop.engine.apply(msgspec.structs.replace(release, app=app, manifest=shop.engine.manifest(app)))
    shop.swarm.settle()
    status = shop.engine.status()
    assert any("paused" in note for note in status.notes)
    assert status.live is not None
    assert status.live.commit[0] == "1"


def test_the_release_command_is_a_job_before_the_update() -> None:
    shop = Shop({"release_command": "./migrate"})
    lines = list(shop.lines("1"))
    assert lines[-1]["success"]
    assert any(line.get("stage") == "release" and line.get("message") == BOOM for line in lines)
    created = next(call for call in shop.swarm.calls if call[:2] == ("service", "create"))
    assert "replicated-job" in created
    assert "./migrate" in created
    order = [call[:2] for call in shop.swarm.calls]
    assert order.index(("service", "create")) < order.index(("stack", "deploy"))
    assert set(shop.swarm.services) == {"shop_web"}


def test_a_release_command_that_fails_stops_the_deploy() -> None:
    shop = Shop({"release_command": "./migrate"})
    shop.deploy("1")
    shop.swarm.job = ("failed", 7)
    reply = shop.deploy("2")
    assert (reply["success"], reply["stage"]) == (False, "release")
    assert "exit code 7" in cast(str, reply["error"])
    assert reply["output"] == [BOOM]
    assert shop.swarm.running("shop_web") == ["1", "1", "1"]
    assert set(shop.swarm.services) == {"shop_web"}


def test_a_command_runs_in_the_live_version(capfd: pytest.CaptureFixture[str]) -> None:
    shop = Shop()
    with pytest.raises(NothingLive):
        shop.engine.run(["ls"], terminal=False)
    shop.deploy("1", {"KEY": "x"})
    shop.swarm.job = ("failed", 5)
    assert shop.engine.run(["ls", "-l"], terminal=False) == 5
    assert capfd.readouterr().out == BOOM + "\n"
    created = next(call for call in shop.swarm.calls if call[:2] == ("service", "create"))
    assert created[-3:] == ("run", "ls", "-l")
    assert any("shop-env-" in word for word in created)
    assert set(shop.swarm.services) == {"shop_web"}


def test_a_job_is_removed_when_its_command_is_interrupted() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.swarm.faults["service ps"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        shop.engine.run(["ls"], terminal=False)
    assert set(shop.swarm.services) == {"shop_web"}


def test_a_job_whose_image_is_not_there_is_an_error() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.swarm.job = ("rejected", 0)
    with pytest.raises(EngineFailed, match="could not run"):
        shop.engine.run(["ls"], terminal=False)
    assert set(shop.swarm.services) == {"shop_web"}


def test_a_job_that_was_left_behind_is_removed_by_the_next_deploy() -> None:
    shop = Shop()
    shop.deploy("1")
    release = shop.engine.releases()[0]
    job = one_off.Job("run", "shop-run-1", ["ls"], 60)
    pieces = one_off.run(shop.swarm.docker, release.app, job)
    shop.swarm.job = ("complete", 0)
    next(pieces)
    assert "shop-run-1" in shop.swarm.services
    shop.deploy("2")
    assert "shop-run-1" not in shop.swarm.services
    pieces.close()


def test_a_release_command_ends_with_the_attempt_whose_client_is_gone() -> None:
    shop = Shop({"release_command": "./migrate"})
    shop.deploy("1")
    lines = shop.lines("2")
    assert any("shop-release-2" in shop.swarm.services for _ in lines)
    shop.engine.apply(shop.engine.releases()[1])
    assert "shop-release-2" not in shop.swarm.services


def test_one_word_is_not_taken_for_a_command_line() -> None:
    assert running.words(["my file"]) == ["'my file'"]
    assert running.words(["ls", "my file"]) == ["ls", "my file"]


def test_a_maintenance_goes_on_over_deploys() -> None:
    shop = Shop()
    shop.deploy("1")
    shop.engine.maintain(on=True)
    assert shop.swarm.running("shop_web") == ["1", "1", "1"]
    assert shop.deploy("2")["success"]
    live = shop.engine.live()
    assert live is not None
    assert live.maintenance
    shop.engine.maintain(on=False)
    live = shop.engine.live()
    assert live is not None
    assert not live.maintenance
    labels = dig(shop.swarm.services["shop_web"], "Spec", "Labels")
    fresh = Shop()
    fresh.deploy("1")
    fresh.deploy("2")
    assert labels == dig(fresh.swarm.services["shop_web"], "Spec", "Labels")


def test_a_maintenance_waits_for_the_end_of_an_update() -> None:
    """It would be what the engine goes back to."""
    shop = Shop()
    shop.deploy("1")
    shop.swarm.services["shop_web"]["UpdateStatus"] = {"State": "updating"}
    with pytest.raises(Busy):
        shop.engine.maintain(on=True)


def test_data_is_pinned_to_one_node_for_good() -> None:
    shop = Shop({"shared_dirs": ["data"]}, replicas=1)
    assert shop.deploy("1")["success"]
    labels = [cast(dict[str, str], dig(node, "Spec", "Labels")) for node in shop.swarm.nodes]
    assert labels == [{}, {"slot-machine.data.shop": "yes"}]
    cast(dict[str, str], dig(shop.swarm.nodes[1], "Status"))["State"] = "down"
    with pytest.raises(Impossible, match="node2"):
        shop.engine.refuse(shop.app("2"))
    cast(dict[str, str], dig(shop.swarm.nodes[1], "Status"))["State"] = "ready"
    cast(dict[str, str], dig(shop.swarm.nodes[1], "Spec"))["Availability"] = "drain"
    with pytest.raises(Impossible, match="drain"):
        shop.engine.refuse(shop.app("2"))


def test_a_host_belongs_to_one_app() -> None:
    shop = Shop()
    shop.deploy("1")
    other = SwarmEngine("blog", shop.app("1").engine, shop.swarm.docker)  # type: ignore[arg-type]
    blog = msgspec.structs.replace(shop.app("1"), name="blog")
    with pytest.raises(Impossible, match="shop_web"):
        other.refuse(blog)
    assert "edge install" in " ".join(shop.engine.refuse(shop.app("2")))


def test_lines_of_all_copies_come_by_time() -> None:
    shop = Shop({"processes": {"mail": "./mail"}})
    shop.deploy("1")
    said = {
        "shop_web": "2026-01-01T00:00:03Z shop_web.1@node1    | b\n2026-01-01T00:00:01Z shop_web.2@node2    | a | c",
        "shop_mail": "2026-01-01T00:00:02Z shop_mail.1@n    | ",
    }
    for name, text in said.items():
        shop.swarm.faults[f"--tail 100 {name}"] = Answer(0, text, "")
    lines = ["2026-01-01T00:00:01Z web.2 a | c", "2026-01-01T00:00:02Z mail.1 ", "2026-01-01T00:00:03Z web.1 b"]
    assert list(shop.engine.logs(Logs())) == lines
    for name, text in said.items():
        shop.swarm.faults[f"--tail all --follow {name}"] = Answer(0, text, "")
    assert sorted(shop.engine.logs(Logs(lines=None, follow=True))) == lines
    with pytest.raises(NoLogs, match="no service of shop runs"):
        list(Shop().engine.logs(Logs()))
    with pytest.raises(NoLogs, match="clock"):
        list(shop.engine.logs(Logs(process="clock")))


def test_a_database_in_folders_that_copies_share_is_found() -> None:
    shop = Shop({"shared_dirs": ["data"]}, nfs="nas:/exports/shop")
    assert shop.deploy("1")["success"]
    shop.swarm.said = "database: /shared/data/app.db"
    reply = shop.deploy("2")
    assert not reply["success"]
    assert "'data/app.db' in 'data' is a SQLite file" in cast(str, reply["error"])
    assert shop.swarm.running("shop_web") == ["1", "1", "1"]
    assert set(shop.swarm.services) == {"shop_web"}


def test_how_databases_are_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    sqlite3.connect(tmp_path / "data" / "my app.db").execute("CREATE TABLE t (x)").connection.commit()
    (tmp_path / "data" / "notes").write_text("SQLite is a database")
    script = shared_data.LOOK.replace(SHARED, str(tmp_path))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"database: {tmp_path}/data/my app.db"]
    assert done.stderr == ""


def test_a_terminal_is_that_of_a_copy_of_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    shop.deploy("1")
    node = cast(str, next(task["NodeID"] for task in shop.swarm.tasks))
    clients = []

    class Remote:
        def __init__(self, *words: str) -> None:
            clients.append(words)

        def through(self, *args: str) -> int:
            return shop.swarm.client.through(*args)

    monkeypatch.setattr(running, "Client", Remote)
    for asked, reached in ((node, []), ("another", [("docker", "--host", f"ssh://node{node[1]}")])):
        shop.swarm.faults["info --format"] = Answer(0, asked, "")
        assert shop.engine.run(["sh"], terminal=True) == 9
        assert clients == reached
        call = shop.swarm.calls[-1]
        assert call[:3] == ("exec", "--interactive", "--tty")
        assert call[-2:] == ("run", "sh")


def test_input_is_given_to_a_command_in_a_copy_of_the_app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shop = Shop()
    shop.deploy("1")
    (tmp_path / "dump").write_text("x")
    shop.swarm.faults["info --format"] = Answer(0, cast(str, shop.swarm.tasks[0]["NodeID"]), "")
    with (tmp_path / "dump").open() as dump:
        monkeypatch.setattr("sys.stdin", dump)
        assert shop.engine.run(["cat"], terminal=False) == 9
    assert shop.swarm.calls[-1][:2] == ("exec", "--interactive")
    assert "--tty" not in shop.swarm.calls[-1]


def test_what_counts_as_input(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as pipe, Path(os.devnull).open() as nothing:
        for stdin, expected in ((nothing, False), (None, False), (pipe, False)):
            monkeypatch.setattr("sys.stdin", stdin)
            assert running.has_input() is expected
        os.write(writer, b"x")
        assert running.has_input()
    os.close(writer)
