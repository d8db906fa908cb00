"""What holding a candidate promises, told on a machine in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slot_machine.app.abort import Aborted
from slot_machine.app.outcomes import Done, Wishes
from slot_machine.core.errors import Cancelled, Impossible, NothingHeld, SlotMachineError
from slot_machine.core.phases import Phase
from slot_machine.core.side_runs import side_runs
from slot_machine.core.upstream import Beside, Counts
from slot_machine.host.network.probe import Answer
from tests.app.hold_stories import abort, b_has_failed, b_is_held, crash_of_the_candidate, hold, promote, take_over
from tests.app.stories import ALL_COMMANDS, WITHOUT_PROBES, a_is_live, check_rest, deploy, machine
from tests.app.watch_stories import begun, deploy_b
from tests.fakes import COMMITS, Machine, run, until

pytestmark = pytest.mark.usefixtures("quiet")


def test_promotion_starts_nothing_but_side_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"processes": {"worker": "work"}}) as made:
            await b_is_held(made)
            held = made.deployer.candidates.release
            assert held
            assert held.runs.keys() == {"web"}
            made.faults.names.clear()
            done = await promote(made)
            assert isinstance(done, Done)
            assert made.supervisor.release is held
            await asyncio.sleep(60)

            assert "launch" not in made.faults.names
            assert held.runs.keys() == {"web", *(side.run for side in side_runs(held.version.config))} != {"web"}
            last, deployed, _ = made.store.attempts(3)
            assert (last.kind, last.result, last.commit) == ("promote", "succeeded", COMMITS["b"])
            assert (deployed.kind, deployed.result) == ("deploy", "succeeded")
            assert [notice.event for notice in made.told][-1] == "deploy_succeeded"

    run(story())


def test_unhealthy_candidate_is_not_promoted_and_held_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            made.launcher.answers.append(Answer(500, "500"))
            refused = await promote(made)
            assert isinstance(refused, SlotMachineError)
            assert "is not healthy any more: it answered 500" in str(refused)
            assert refused.stage == Phase.HEALTH
            check_rest(made, "")
            assert isinstance(await promote(made), Done)

    run(story())


def test_crash_is_told_and_nothing_is_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_failed(made)
            await asyncio.sleep(1000)
            candidate, deployed = made.deployer.candidates.record, made.store.attempts(1)[0]
            assert candidate
            assert (candidate.state, candidate.error) == ("failed", deployed.error)
            assert (deployed.result, deployed.stage) == ("failed", "held")
            assert deployed.error == "it ended while it was held: exit code 7"
            assert (made.told[-1].event, made.told[-1].error) == ("deploy_failed", deployed.error)
            assert len(made.running) == 1
            check_rest(made, "")

    run(story())


def test_it_is_aborted_when_its_time_is_over_also_under_another_daemon(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"hold_timeout_ms": 60_000}) as made:
            await b_is_held(made)
            await asyncio.sleep(30)
            await take_over(made)
            await asyncio.sleep(29)
            assert made.deployer.candidates.release
            await asyncio.sleep(2)
            assert made.deployer.candidates.record is None
            deployed = made.store.attempts(1)[0]
            assert (deployed.result, deployed.error) == (
                "cancelled",
                "it was held for 60 s (hold_timeout_ms), so it was aborted",
            )
            assert made.told[-1].event == "deploy_failed"
            assert (offered(made), made.deployer.candidates.preview_url) == (None, "")
            check_rest(made, "")

    run(story())


def test_abort_says_who_and_why(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            assert await abort(made) == Aborted(COMMITS["b"], "b", "held")
            deployed = made.store.attempts(1)[0]
            assert (deployed.result, deployed.error) == ("cancelled", "aborted by ada: it is blue")

    run(story())


def test_what_ends_a_candidate_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            done = await deploy(made, "c")
            assert isinstance(done, Done)
            assert "ends the candidate bbbbbbbb in slot b, which was held and never live" in done.warnings
            assert made.store.attempts(2)[1].error == "ended for deploy 3"

    run(story())


def test_it_is_said_that_what_it_does_in_the_background_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            for live in ("", " beside that of the live version"):
                done = await hold(made)
                assert isinstance(done, Done)
                assert f"consumer of a queue, runs now{live}; its processes" in done.warnings[-1]
                await promote(made)
                await deploy(made, "a")

    run(story())


def test_deploy_that_does_not_get_far_leaves_it_held(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            assert isinstance(await deploy(made, "no such commit"), SlotMachineError)
            check_rest(made, "")
            assert isinstance(await promote(made), Done)

    run(story())


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"strategy": "replace"}, "strategy: replace lets no two versions run at once"),
        ({"release_command": "migrate"}, "release_command runs before the version is held"),
    ],
)
def test_refused_by_name_before_anything_is_touched(tmp_path: Path, config: dict[str, object], words: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | config) as made:
            refused = await hold(made)
            assert isinstance(refused, Impossible)
            assert words in str(refused)
            assert "checkout" not in made.faults.names

    run(story())


def test_refused_where_the_app_owns_its_port(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            made.mode.no_hold = "with --no-proxy the app itself answers on its port"
            with pytest.raises(Impossible, match="no version can be held: with --no-proxy"):
                await hold(made)
            assert made.store.attempts(1) == []

    run(story())


def test_release_command_is_allowed_by_name_and_not_broken_off_by_abort(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | ALL_COMMANDS) as made:
            made.shell.works_s = 60
            holding = asyncio.ensure_future(hold(made, "b", Wishes(hold=True, hold_after_release=True)))
            await until(lambda: made.shell.running == ["release"])
            assert isinstance(await abort(made), Aborted)
            held = await holding
            assert isinstance(held, Done)
            assert held.held
            assert made.deployer.candidates.record is None
            assert not made.running
            assert made.store.attempts(1)[0].result == "cancelled"

    run(story())


def test_abort_in_the_switch_comes_too_late(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            promoting = asyncio.ensure_future(promote(made))
            await soon(lambda: switches(made))
            refused = await abort(made)
            assert isinstance(refused, NothingHeld)
            assert str(refused) == "too late to abort: the candidate is live"
            assert isinstance(await promoting, Done)
            check_rest(made, "")

    run(story())


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize(("before", "story"), [(b_is_held, promote), (a_is_live, deploy_b)])
def test_abort_in_the_switch_goes_back_from_the_watch(
    tmp_path: Path, before: Callable[[Machine], Awaitable[object]], story: Callable[[Machine], Awaitable[object]]
) -> None:
    async def told() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"watch_ms": 4_000}) as made:
            await before(made)
            going_live = asyncio.ensure_future(story(made))
            await soon(lambda: switches(made))
            aborted = await abort(made)
            assert isinstance(aborted, Aborted)
            assert aborted.state == "watched"
            assert isinstance(await going_live, Cancelled)
            live = made.store.state().live
            assert live
            assert live.commit == COMMITS["a"]
            check_rest(made, "")

    run(told())


@pytest.mark.usefixtures("judged")
def test_requests_of_the_version_before_are_not_counted_for_the_deploy_that_was_held(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"watch_ms": 4_000}) as made:
            await b_is_held(made)
            promoting = await begun(made, promote)
            made.traffic.counted = Counts(finished=7)
            await made.deployer.stop()
            await promoting
            _, deployed, _ = made.store.attempts(3)
            assert (deployed.kind, deployed.requests) == ("deploy", "")

    run(story())


async def soon(condition: Callable[[], bool]) -> None:
    """In one of the next iterations of the event loop."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


def switches(made: Machine) -> bool:
    running = made.deployer.operations.running
    return running is not None and running.phase is Phase.SWITCH


def test_cancelled_promotion_can_be_repeated(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            made.launcher.hangs = True
            made.faults.names.clear()
            promoting = asyncio.ensure_future(promote(made))
            await soon(lambda: "probe" in made.faults.names)
            await made.deployer.operations.cancel()
            assert isinstance(await promoting, Cancelled)
            made.launcher.hangs = False
            assert isinstance(await promote(made), Done)
            check_rest(made, "")

    run(story())


def offered(made: Machine) -> Beside | None:
    return made.traffic.beside


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ({}, "http://localhost:3000"),
        ({"port": 8080}, "http://localhost:8080"),
        ({"public_url": "https://shop.example.com/"}, "https://shop.example.com"),
        ({"domains": ["shop.example.org", "b.example"]}, "https://shop.example.org"),
        ({"domains": ["b.example"], "public_url": "http://shop:81"}, "http://shop:81"),
    ],
)
def test_the_link_of_its_preview_is_known_for_as_long_as_it_runs(
    tmp_path: Path, config: dict[str, object], address: str
) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | config) as made:
            candidates = made.deployer.candidates
            assert candidates.preview_url == ""
            await b_is_held(made)
            link = candidates.preview_url
            beside = made.traffic.beside
            assert beside
            assert link == f"{address}/?slot-machine-preview={beside.token}"
            await take_over(made)
            assert candidates.preview_url == link
            assert isinstance(await abort(made), Aborted)
            assert candidates.preview_url == ""
            assert offered(made) is None
            again = await hold(made)
            assert isinstance(again, Done)
            assert again.preview_url == candidates.preview_url != link
            await crash_of_the_candidate(made)
            assert candidates.preview_url == ""
            assert offered(made) is None

    run(story())
