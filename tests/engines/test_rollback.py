"""Rollbacks and restarts on any engine: where they lead, with which variables, and what is kept for them."""

import msgspec
import pytest

from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import EngineFailed
from slot_machine.engines import attempt, release
from slot_machine.engines.release import Ended
from slot_machine.engines.shape import Values
from tests.fake_engine import Killed
from tests.flows import DAEMON, NEW, NEW_KEY, NEXT, OLD, OLD_KEY, World


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "PAUSE_S", 0.0)


@pytest.fixture
def world() -> World:
    world = World()
    assert world.deploy(NEW)["success"]
    return world


def digest(key: str) -> str:
    return Values({"API_KEY": key, "SHORT": "1"}).digest


def test_second_rollback_leads_forth_again(world: World) -> None:
    assert world.rollback()["release"] == 1
    assert world.cluster.web == OLD
    assert set(world.cluster.services) == {"web"}
    assert world.rollback()["release"] == 2
    assert world.cluster.web == NEW
    assert world.cluster.history[2:] == [(3, "rollback", "succeeded"), (4, "rollback", "succeeded")]
    assert world.cluster.jobs == [OLD, NEW], "a rollback migrates nothing"


def test_rollback_to_a_number_or_a_commit(world: World) -> None:
    world.deploy(NEXT)
    assert world.rollback("1")["commit"] == OLD
    assert world.rollback(NEW[:8])["commit"] == NEW
    assert world.rollback("4")["commit"] == OLD, "which is what the rollback of that number went to"
    refused = world.rollback(OLD)
    assert (refused["success"], "is live already" in str(refused["error"])) == (False, True)
    assert "these were" in str(world.rollback("17")["hint"])
    assert len(world.cluster.records) == 6


def test_nothing_to_roll_back_to() -> None:
    assert "nothing is live" in str(World(empty=True).rollback()["error"])
    world = World()
    world.restart()
    world.deploy(OLD, force=True)
    assert "no previous version" in str(world.rollback()["error"]), "it is the same version again"
    world.cluster.bad.add(NEW)
    world.deploy(NEW)
    assert "is no release that was live" in str(world.rollback("4")["error"])


def test_restart_applies_variables_and_fields_of_now_and_rollback_goes_past_it(world: World) -> None:
    world.key = NEW_KEY
    more = msgspec.structs.replace(DAEMON, engine=Swarm(replicas=3))
    assert world.restart(daemon=more)["success"]
    web = world.cluster.services["web"]
    assert (web.commit, web.env_digest, web.engine.replicas) == (NEW, digest(NEW_KEY), 3)
    world.follow(world.flow().rollback(more))
    web = world.cluster.services["web"]
    assert (web.commit, web.env_digest) == (OLD, digest(OLD_KEY))
    warnings = world.said[-1]["warnings"]
    assert isinstance(warnings, list)
    assert "`slot-machine restart`" in warnings[0]


def test_restart_with_bad_variables_is_taken_back(world: World) -> None:
    world.key = NEW_KEY
    world.cluster.bad.add(NEW)
    engine = world.engine()
    engine.before = lambda _: world.cluster.bad.clear() if engine.steps.count("apply") == 2 else None
    reply = world.restart(engine)
    assert reply["stage"] == "health"
    assert (reply["output"], world.leaks()) == (["last words: [API_KEY]"], [])
    assert str(reply["error"]).splitlines() == ["web.1 is not healthy", "last words: [API_KEY]"]
    assert (world.cluster.web, world.cluster.secrets) == (NEW, {digest(OLD_KEY)})


def test_secret_that_is_rotated_twice_stays_only_where_it_is_needed(world: World) -> None:
    keys = [OLD_KEY, NEW_KEY, "the-newest-secret"]
    for key in keys[1:]:
        world.key = key
        assert world.restart()["success"]
    assert world.cluster.secrets == {digest(keys[0]), digest(keys[2])}, "of the previous version, and of now"
    world.deploy(NEXT)
    assert world.cluster.secrets == {digest(keys[2])}
    assert not world.leaks()


def test_release_whose_variables_are_gone_gets_those_of_now(world: World) -> None:
    world.key = NEW_KEY
    world.deploy(NEXT)
    world.deploy("d" * 40)
    assert "env_file can't be read here" in str(world.rollback("1", can_read=False)["error"])
    reply = world.rollback("1")
    assert "had other variables" in str(reply["warnings"])
    web = world.cluster.services["web"]
    assert (web.commit, web.env_digest) == (OLD, digest(NEW_KEY))
    assert world.rollback()["commit"] == "d" * 40


def test_rollback_needs_no_env_file(world: World) -> None:
    assert world.rollback(can_read=False)["success"]
    assert world.cluster.web == OLD


def test_what_is_live_without_a_record_is_never_removed(world: World) -> None:
    world.cluster.records.clear()
    assert "that a record tells of" in str(world.restart()["error"])
    world.cluster.bad.add(NEXT)
    reply = world.deploy(NEXT)
    assert "is not back" in str(reply["error"])
    assert set(world.cluster.services) == {"web", "worker"}
    world.cluster.bad.clear()
    assert world.deploy(NEXT)["success"]


def test_rollback_of_the_same_commit_stands_for_a_record_that_is_missing(world: World) -> None:
    world.rollback()
    del world.cluster.records[1]
    world.cluster.bad.add(NEXT)
    assert world.deploy(NEXT)["success"] is False
    assert world.cluster.web == OLD


def test_record_of_the_previous_version_is_kept_over_many_restarts(world: World) -> None:
    for _ in range(15):
        assert world.restart()["success"]
    assert len(world.cluster.records) <= release.KEPT + 2
    assert world.rollback()["commit"] == OLD


def test_slow_deploy_that_was_overtaken_takes_nothing_back(world: World) -> None:
    overtaken: list[object] = []

    def at(step: str) -> None:
        if step == "wait" and not overtaken:
            world.pass_time()
            overtaken.append(world.deploy(NEXT)["success"])

    engine = world.engine()
    engine.before = at
    reply = world.deploy("d" * 40, engine)
    assert (overtaken, reply["success"], world.cluster.web) == ([True], False, NEXT)


def test_way_back_that_failed_can_be_gone_again(world: World) -> None:
    engine = world.engine()

    def at(step: str) -> None:
        if step == "apply workers" or engine.steps.count("apply workers"):
            raise EngineFailed("out of reach")

    engine.before = at
    reply = world.deploy(NEXT, engine)
    assert world.cluster.web.startswith("mixed")
    assert "`slot-machine rollback 2` tries again" in str(reply["hint"])
    world.cluster.records[3] = msgspec.structs.replace(
        world.cluster.records[3], ended=Ended(result="failed", ended_at="2026-11-27T12:00:00Z")
    )
    assert world.rollback("2")["success"]
    assert world.cluster.web == NEW


def test_end_that_can_t_be_written_is_told_and_settled_later(world: World) -> None:
    engine = world.engine()
    engine.before = lambda step: _fail() if step == "end" else None
    reply = world.deploy(NEXT, engine)
    assert (reply["success"], "its end is not in the history" in str(reply["warnings"])) == (True, True)
    cancelled = world.cancel()
    assert (cancelled["complete"], world.cluster.web) == (True, NEXT)
    assert world.cluster.history[2] == (3, "deploy", "succeeded")


def test_restart_that_reached_some_processes_only_is_not_complete(world: World) -> None:
    """All of them are of one commit, and healthy."""
    engine = world.engine()
    engine.before = lambda step: _kill() if step == "apply workers" or engine.steps.count("apply workers") else None
    world.key = NEW_KEY
    assert world.restart(engine) == {}
    assert world.cancel()["complete"] is False
    assert {app.env_digest for app in world.cluster.services.values()} == {digest(OLD_KEY)}


def test_complete_deploy_of_a_killed_client_is_what_a_failure_goes_back_to(world: World) -> None:
    engine = world.engine()
    engine.before = lambda step: _kill() if step == "end" else None
    assert world.deploy(NEXT, engine) == {}
    world.pass_time()
    world.cluster.bad.add("d" * 40)
    assert world.deploy("d" * 40)["success"] is False
    assert world.cluster.web == NEXT
    assert world.cluster.history[2] == (3, "deploy", "succeeded")


def test_live_commit_is_deployed_again_if_it_is_not_whole(world: World) -> None:
    assert world.deploy(NEW)["already_live"] is True
    world.cluster.services["worker"] = world.cluster.records[1].app
    reply = world.deploy(NEW)
    assert (reply["success"], reply["already_live"]) == (True, False)
    world.cluster.services["worker"] = world.cluster.records[1].app
    assert world.rollback("3")["success"]
    assert {app.commit for app in world.cluster.services.values()} == {NEW}


def test_nothing_to_cancel(world: World) -> None:
    assert world.cancel()["error"] == "nothing runs"


def test_interrupted_rollback_goes_back_to_what_was_live_before_it(world: World) -> None:
    engine = world.engine()

    def at(step: str) -> None:
        if step == "apply workers" or engine.steps.count("apply workers"):
            raise Killed

    engine.before = at
    assert world.rollback(engine=engine) == {}
    assert world.cancel()["complete"] is False
    assert world.cluster.web == NEW


def _kill() -> None:
    raise Killed


def _fail() -> None:
    raise EngineFailed("out of reach")
