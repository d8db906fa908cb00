"""A branch is followed on a machine in memory, against a remote that the test moves, in a time that costs nothing."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from slot_machine.app.follow import Following
from slot_machine.app.outcomes import Wishes
from slot_machine.core.daemon_config import Follow
from slot_machine.core.errors import GitFailed, StageFailed
from slot_machine.core.following import LONGEST_LOOK_S
from slot_machine.core.model import State, Version
from tests.app.follow_stories import EVERY_S, FOLLOWED, FORCED, A, B, C, D, Remote, Story, followed, in_time
from tests.app.hold_stories import abort
from tests.app.stories import ALL_COMMANDS, deploy, ignored, rollback
from tests.app.watch_stories import BAD, GOOD, watched
from tests.fakes import Machine, run, until


def test_first_start_with_nothing_live_deploys_the_branch(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            assert (made.live, made.said) == ("a", "live: which is live")
            (attempt,) = made.machine.deployer.attempts.history(5, jobs=False)
            assert (attempt.kind, attempt.trigger, attempt.who, attempt.ref) == ("deploy", "follow", "follow", "main")

    run(story())


def test_new_commit_is_deployed_at_the_next_look_and_nothing_between_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.remote.at = B
            made.remote.at = C
            begun_s = asyncio.get_running_loop().time()
            await made.look()
            assert (made.live, made.deploys) == ("c", ["a succeeded", "c succeeded"])
            assert asyncio.get_running_loop().time() - begun_s <= EVERY_S + 5

    run(story())


def test_commit_that_comes_during_a_deploy_is_deployed_right_after_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | {"setup_command": "setup"}) as made:
            made.machine.shell.works_s = 30
            await until(lambda: made.machine.shell.running)
            made.remote.at = B
            made.remote.at = C
            await until(lambda: made.live == "c")
            await made.rests()
            assert made.deploys == ["a succeeded", "c succeeded"]
            assert asyncio.get_running_loop().time() < EVERY_S + 5

    run(story())


def test_many_calls_become_one_look(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.remote.fetch_s, before = 5, len(made.remote.looks)
            for _ in range(50):
                made.following.look_soon()
            await until(lambda: made.remote.under_way)
            assert len(made.remote.looks) == before + 1
            made.remote.at = B
            for _ in range(50):
                made.following.look_soon()
            await until(lambda: made.live == "b")
            await made.rests()
            looks = made.remote.looks[before:]
            # The second one is of the calls that came during the first, the third one follows a deploy.
            assert len(looks) <= 3
            assert looks[-1] - looks[0] < EVERY_S / 2
            assert made.deploys == ["a succeeded", "b succeeded"]

    run(story())


@pytest.mark.parametrize("config", [FOLLOWED, FORCED], ids=["forward only", "forced"])
def test_commit_that_was_rolled_back_is_left_out_until_another_comes(
    tmp_path: Path, config: Mapping[str, object]
) -> None:
    async def story() -> None:
        async with followed(tmp_path, config) as made:
            await made.rests()
            made.remote.at = B
            await made.look()
            await rollback(made.machine)
            await made.looks(5)
            assert (made.live, made.said) == ("a", "left_out: left out since the rollback")
            assert made.remote.noted == B
            made.remote.at = C
            await made.look()
            assert made.live == "c"

    run(story())


def test_commit_that_was_left_out_is_live_once_it_is_deployed_by_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.remote.at = B
            await made.look()
            await rollback(made.machine)
            await made.look()
            await deploy(made.machine, "b")
            await made.look()
            assert (made.live, made.said) == ("b", "live: which is live")

    run(story())


def test_commit_that_was_rolled_back_is_left_out_by_the_next_daemon_and_by_a_rebuilt_state(tmp_path: Path) -> None:
    remote = Remote()

    async def story() -> None:
        async with followed(tmp_path, remote=remote) as made:
            await made.rests()
            remote.at = B
            await made.look()
            await rollback(made.machine)
            await made.following.stop()
            async with asyncio.TaskGroup() as tasks:
                again = Following(
                    Follow(every_s=EVERY_S),
                    remote,
                    made.machine.deployer,
                    made.machine.store,
                    made.machine.app.notices,
                    "origin",
                )
                again.start(tasks)
                await made.looks(3)
                await again.stop()
            assert (made.live, again.status.reason) == ("a", "left out since the rollback")

    async def rebuilt(previous: Version | None) -> None:
        async with followed(tmp_path, remote=remote) as made:
            await made.following.stop()
            made.machine.store.save_state(State(Version("a", A, 1), previous, ""))
            async with asyncio.TaskGroup() as tasks:
                made.following.start(tasks)
                await made.looks(3)
                await made.following.stop()
            assert made.following.status.state == "left_out"
            assert made.deploys == []

    run(story())
    run(rebuilt(Version("b", B, 2)))
    run(rebuilt(None))
    remote.noted = ""


def fail_health(made: Story) -> None:
    made.machine.launcher.failures.append(StageFailed("health", "it answered 500"))


def fail_release(made: Story) -> None:
    made.machine.shell.fails = "release"


@pytest.mark.parametrize(("fail", "stage"), [(fail_health, "health"), (fail_release, "release")])
def test_commit_that_proved_bad_is_not_tried_again(tmp_path: Path, fail: Callable[[Story], None], stage: str) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | ALL_COMMANDS) as made:
            await made.rests()
            made.remote.at = B
            fail(made)
            await made.looks(10)
            assert made.deploys == ["a succeeded", "b failed"]
            assert made.said == f"left_out: left out since its deploy failed in the stage {stage}"
            made.remote.at = C
            await made.look()
            assert made.live == "c"

    run(story())


@pytest.mark.usefixtures("judged")
def test_commit_that_the_watch_took_back_is_left_out_until_another_comes(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | {"watch_ms": 20_000}) as made:
            await made.rests()
            made.machine.evidence.new, made.machine.evidence.old = BAD, GOOD
            made.remote.at = B
            await made.looks(5)
            assert (made.live, made.deploys) == ("a", ["a succeeded", "b failed"])
            assert made.said == "left_out: left out since its deploy failed in the stage watch"
            made.machine.evidence.new = GOOD
            made.remote.at = C
            await in_time(lambda: made.live == "c")

    run(story())


async def cancel(machine: Machine) -> object:
    return await machine.deployer.operations.cancel()


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize("how", [abort, cancel])
def test_commit_that_somebody_takes_back_in_the_watch_is_left_out(
    tmp_path: Path, how: Callable[[Machine], Awaitable[object]]
) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | {"watch_ms": 300_000}) as made:
            await made.rests()
            made.remote.at = B
            await watched(made.machine)
            await how(made.machine)
            await made.looks(3)
            assert (made.live, made.following.status.state) == ("a", "left_out"), made.said

    run(story())


@pytest.mark.usefixtures("judged")
def test_commit_that_comes_in_a_watch_waits_until_that_has_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | {"watch_ms": 300_000}) as made:
            await made.rests()
            made.machine.evidence.new = GOOD
            watching = made.machine.deployer.deploy("b", "cli", ignored)
            await watched(made.machine)
            made.remote.at = C
            await in_time(lambda: made.following.status.state == "waiting")
            assert made.live == "b"
            await watching
            await in_time(lambda: made.live == "c")

    run(story())


@pytest.mark.parametrize("command", ["setup", "build"])
def test_setup_that_failed_is_tried_again_with_longer_and_longer_waits(tmp_path: Path, command: str) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | ALL_COMMANDS) as made:
            await made.rests()
            made.remote.at = B
            begun: list[float] = []
            for tries in range(1, 5):
                made.machine.shell.fails = command
                await in_time(lambda: len(made.deploys) > tries)  # noqa: B023 - it ends in this round
                begun.append(asyncio.get_running_loop().time())
                await made.rests()
                assert made.said.startswith("retrying: which could not be deployed")
            gaps = [round((later - earlier) / EVERY_S) for earlier, later in pairwise(begun)]
            assert gaps == [1, 2, 4]
            await until(lambda: made.live == "b")
            assert made.deploys[-5:-1] == ["b failed"] * 4

    run(story())


def test_commit_whose_own_file_is_wrong_is_not_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.machine.trees.files[B] = b'{"start_command": ""}'
            made.remote.at = B
            await made.looks(10)
            assert made.deploys == ["a succeeded", "b failed"]
            assert made.said.startswith("left_out: left out as slot-machine.json of bbbbbbbb: start_command is empty")
            assert made.following.status.unusable
            assert made.remote.noted == B
            made.remote.at = C
            await made.look()
            assert made.live == "c"

    run(story())


def test_newer_commit_does_not_wait_for_the_next_try_of_the_one_before(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | ALL_COMMANDS) as made:
            await made.rests()
            made.remote.at = B
            for _ in range(4):
                made.machine.shell.fails = "setup"
                before = len(made.deploys)
                await in_time(lambda: len(made.deploys) > before)  # noqa: B023 - it ends in this round
                await made.rests()
            made.remote.at = C
            begun_s = asyncio.get_running_loop().time()
            await until(lambda: made.live == "c")
            assert asyncio.get_running_loop().time() - begun_s < EVERY_S + 5

    run(story())


def test_remote_that_fails_is_asked_less_often_and_the_error_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.remote.failures = [GitFailed("git fetch failed: no route", "mend it") for _ in range(12)]
            await made.look()
            status = made.following.status
            assert (status.error, status.hint, status.failures) == ("git fetch failed: no route", "mend it", 1)
            assert (status.commit, status.state) == (A, "live")
            assert EVERY_S - 10 < made.following.overview().next_s <= EVERY_S
            made.remote.at = B
            await in_time(lambda: made.live == "b")
            gaps = [later - earlier for earlier, later in pairwise(made.remote.looks)]
            waits = [round(gap) for gap in gaps if gap > EVERY_S / 2]
            assert waits[:5] == [60, 60, 120, 240, 480]
            assert max(waits) == LONGEST_LOOK_S
            told = [notice for notice in made.machine.told if notice.event == "follow_failed"]
            assert [notice.error for notice in told] == ["git fetch failed: no route; mend it"]
            assert (status.error, status.failures) == ("", 0)

    run(story())


def test_defect_of_ours_does_not_end_the_follower(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            made.remote.failures = [ValueError("a defect"), OSError(28, "No space left on device")]
            await until(lambda: made.live == "a")

    run(story())
    assert "a defect" in caplog.text


def test_call_makes_it_look_though_the_remote_failed(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.remote.failures = [GitFailed("no route") for _ in range(6)]
            await in_time(lambda: made.following.status.failures == 6)
            made.remote.at = B
            begun_s = asyncio.get_running_loop().time()
            made.following.look_soon()
            await until(lambda: made.live == "b")
            assert asyncio.get_running_loop().time() - begun_s < 5

    run(story())


def test_branch_that_was_moved_back_or_aside_is_not_followed_without_force(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            made.remote.at = B
            await made.rests()
            made.remote.at = A
            await made.look()
            assert (made.live, made.said) == ("b", "not_forward: which the live version has already")
            made.remote.apart, made.remote.at = {C}, C
            await made.look()
            assert (made.live, made.said) == ("b", f"not_forward: which does not follow from the live {B[:8]}")
            made.remote.apart, made.remote.at = set(), D
            await made.look()
            assert made.live == "d"

    run(story())


def test_branch_that_was_moved_is_followed_with_force(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FORCED) as made:
            for tip, name in ((B, "b"), (A, "a"), (B, "b")):
                made.remote.at = tip
                await until(lambda: made.live == name)  # noqa: B023 - it ends in this round
                await made.rests()
            assert made.deploys == ["b succeeded", "a succeeded", "b succeeded"]

    run(story())


def test_version_that_somebody_deployed_in_its_place_stays(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FORCED) as made:
            made.remote.at = B
            await made.rests()
            await deploy(made.machine, "a")
            await made.looks(3)
            assert (made.live, made.said) == ("a", f"left_out: left out since {A[:8]} was deployed in its place")

    run(story())


def test_deploy_that_somebody_cancels_is_not_begun_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | {"setup_command": "setup"}) as made:
            await made.rests()
            made.machine.shell.hangs, made.remote.at = True, B
            await until(lambda: made.machine.shell.running)
            await made.machine.deployer.operations.cancel()
            made.machine.shell.hangs = False
            await made.looks(3)
            assert (made.live, made.deploys) == ("a", ["a succeeded", "b cancelled"])
            assert made.said == "left_out: left out since its deploy was cancelled"

    run(story())


def test_commit_waits_for_the_operation_that_runs_and_not_longer(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path, FOLLOWED | {"setup_command": "setup"}) as made:
            await made.rests()
            made.machine.shell.works_s = 400
            task = made.machine.deployer.deploy("b", "cli", ignored)
            made.remote.at = C
            await until(lambda: made.following.status.state == "waiting")
            assert "which waits until this has ended: deploy of bbbbbbbb, stage setup" in made.said
            await task
            made.machine.shell.works_s = 0
            ended_s = asyncio.get_running_loop().time()
            await until(lambda: made.live == "c")
            assert asyncio.get_running_loop().time() - ended_s < 5

    run(story())


def test_candidate_that_somebody_holds_is_not_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            await made.machine.deployer.deploy("b", "cli", ignored, Wishes(hold=True))
            made.remote.at = C
            await made.looks(3)
            assert (made.live, made.said) == ("a", f"waiting: which waits while {B[:8]} is held")
            await made.machine.deployer.abort()
            await made.looks(2)
            assert made.live == "c"

    run(story())


def test_candidate_that_was_aborted_is_left_out(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.remote.at = B
            await made.machine.deployer.deploy("b", "cli", ignored, Wishes(hold=True))
            await made.looks(2)
            await made.machine.deployer.abort()
            await made.looks(2)
            assert (made.live, made.said) == ("a", "left_out: left out since its deploy was cancelled")

    run(story())


def test_end_of_the_daemon_ends_a_fetch_and_lets_a_deploy_be(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.remote.fetch_s = 1e6
            await until(lambda: made.remote.under_way)
            await made.following.stop()
            assert not made.remote.under_way

    async def in_a_deploy() -> None:
        async with followed(tmp_path, FOLLOWED | {"setup_command": "setup"}) as made:
            made.machine.shell.works_s = 30
            await until(lambda: made.machine.shell.running)
            await made.following.stop()
            await until(lambda: made.live == "a")

    run(story())
    run(in_a_deploy())


def test_nothing_is_deployed_while_the_daemon_ends(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            await made.machine.deployer.stop()
            made.remote.at = B
            made.following.look_soon()
            await asyncio.sleep(EVERY_S * 3)
            assert made.deploys == ["a succeeded"]

    run(story())


def test_database_that_can_not_be_written_is_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with followed(tmp_path) as made:
            await made.rests()
            made.machine.store.unreadable = sqlite3.OperationalError("disk I/O error")
            made.remote.at = B
            await in_time(lambda: made.following.status.failures == 5)
            assert "disk I/O error" in made.following.status.error
            assert [notice.event for notice in made.machine.told][-1] == "follow_failed"
            made.machine.store.unreadable = None
            await until(lambda: made.live == "b")

    run(story())
