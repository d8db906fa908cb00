"""What a share promises, told on a machine in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done, Outcome
from slot_machine.core.errors import Impossible, NothingHeld, SlotMachineError
from slot_machine.core.phases import Phase
from slot_machine.core.upstream import Beside, Counts
from slot_machine.host.network.probe import Answer
from tests.app.hold_stories import (
    abort,
    b_has_a_share,
    b_has_failed,
    b_is_held,
    crash_of_the_candidate,
    larger_share,
    nothing_but_b_is_held,
    promote,
    share,
    take_over,
)
from tests.app.stories import WITHOUT_PROBES, Story, a_is_live, check_rest, deploy, ignored, machine
from tests.fakes import COMMITS, Machine, run, until

pytestmark = pytest.mark.usefixtures("quiet")

SHARES = {"share_cookie": "user", "share_cookie_values": ["ada"]}


def share_id(made: Machine) -> str:
    candidate, beside = made.deployer.candidates.record, made.traffic.beside
    assert candidate
    assert beside
    assert beside.share_id == candidate.share_id != ""
    return candidate.share_id


def refused(outcome: object, kind: type[SlotMachineError], words: str) -> None:
    assert isinstance(outcome, kind)
    assert words in str(outcome)
    assert outcome.hint


def test_a_share_starts_nothing_and_the_history_says_how_large_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | SHARES | {"processes": {"worker": "work"}}) as made:
            await b_is_held(made)
            made.faults.names.clear()
            done = await share(made, 250)
            assert isinstance(done, Done)
            assert (done.kind, done.share) == ("promote", 250)
            await asyncio.sleep(60)

            held = made.deployer.candidates.release
            assert held
            assert held.runs.keys() == {"web"}
            assert "launch" not in made.faults.names
            assert made.traffic.beside
            assert made.traffic.beside.upstream == held.upstream
            assert (made.traffic.beside.cookie, made.traffic.beside.cookie_values) == ("user", ("ada",))
            last, deployed = made.store.attempts(2)
            assert (last.kind, last.result, last.commit, last.share) == ("promote", "shared", COMMITS["b"], 2.5)
            assert last.stage_seconds.keys() == {Phase.HEALTH, Phase.SWITCH}
            assert (deployed.kind, deployed.result, deployed.share) == ("deploy", "held", 0)
            check_rest(made, "")

    run(story())


def test_a_larger_share_is_the_same_share_and_a_smaller_one_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            first = share_id(made)
            assert isinstance(await larger_share(made), Done)
            assert share_id(made) == first
            refused(await share(made), Impossible, "the share is 50% already, and 10% would send visitors back")
            assert made.traffic.beside
            assert made.traffic.beside.share == 5000
            assert isinstance(await larger_share(made), Done)

            await abort(made)
            assert made.traffic.beside is None
            await b_is_held(made)
            await share(made)
            assert share_id(made) != first

    run(story())


def test_all_of_the_visitors_are_a_promotion(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            assert isinstance(await promote(made), Done)
            assert made.traffic.beside is None
            last, before, deployed = made.store.attempts(3)
            assert [each.result for each in (last, before, deployed)] == ["succeeded", "shared", "succeeded"]
            assert [each.went_live for each in (last, before)] == [True, False]
            check_rest(made, "")

    run(story())


def test_health_is_asked_before(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            made.launcher.answers.append(Answer(500, "500"))
            outcome = await share(made)
            refused(outcome, SlotMachineError, "is not healthy any more: it answered 500")
            assert made.traffic.beside
            assert made.traffic.beside.share == 0
            check_rest(made, "")
            assert isinstance(await share(made), Done)

    run(story())


@pytest.mark.parametrize(
    ("before", "kind", "words"),
    [
        (a_is_live, NothingHeld, "no candidate is held"),
        (b_has_failed, Impossible, "has failed"),
        (nothing_but_b_is_held, Impossible, "nothing is live"),
    ],
)
def test_what_can_have_no_share(tmp_path: Path, before: Story, kind: type[SlotMachineError], words: str) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await before(made)
            refused(await share(made), kind, words)

    run(story())


def test_versions_that_run_alone_can_have_no_share(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": "replace"}) as made:
            await a_is_live(made)
            refused(await share(made), Impossible, "strategy: replace")

    run(story())


def test_an_app_that_answers_on_its_own_port_can_have_no_share(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            made.mode.no_hold = "with --no-proxy the app itself answers on its port"
            refused(await share(made), Impossible, "--no-proxy")

    run(story())


def test_a_crash_sends_all_visitors_to_the_live_version(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            await crash_of_the_candidate(made)
            assert made.traffic.beside is None
            candidate = made.deployer.candidates.record
            assert candidate
            assert (candidate.state, candidate.share, candidate.share_id) == ("failed", 0, "")
            assert [notice.event for notice in made.told][-1] == "deploy_failed"
            assert made.store.attempts(2)[1].result == "failed"
            check_rest(made, "")

    run(story())


def test_a_share_outlives_the_daemon(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            before, offered = share_id(made), made.traffic.beside
            made.traffic.beside = None
            await take_over(made)
            assert share_id(made) == before
            assert made.traffic.beside == offered

    run(story())


@pytest.mark.parametrize("in_force", [False, True])
def test_a_share_that_the_data_plane_does_not_confirm_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_force: bool
) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            offer = made.traffic.offer

            async def fails(beside: Beside | None) -> None:
                monkeypatch.undo()
                if in_force:
                    await offer(beside)
                raise OSError("no answer")

            monkeypatch.setattr(made.traffic, "offer", fails)
            assert isinstance(await share(made), SlotMachineError)
            candidate = made.deployer.candidates.record
            assert candidate
            assert (candidate.state, candidate.share) == ("held", 0)
            check_rest(made, "")
            assert isinstance(await share(made), Done)

    run(story())


def test_visitors_are_back_before_a_candidate_stops_that_can_not_be_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            candidate = made.deployer.candidates.release
            assert candidate
            stop, shares = candidate.stop, list[Beside | None]()

            async def noted(budget_s: float) -> bool:
                shares.append(made.traffic.beside)
                return await stop(budget_s)

            monkeypatch.setattr(candidate, "stop", noted)
            monkeypatch.setattr(made.launcher, "check", lambda _: raises())
            assert isinstance(await promote(made), SlotMachineError)
            assert shares[0] is None
            monkeypatch.undo()
            await asyncio.sleep(60)
            check_rest(made, "")

    run(story())


def raises() -> None:
    raise OSError("it listens elsewhere")


def test_its_time_counts_anew_from_each_share(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"hold_timeout_ms": 60_000}) as made:
            await b_is_held(made)
            await asyncio.sleep(40)
            await share(made)
            await asyncio.sleep(40)
            assert made.deployer.candidates.record
            await asyncio.sleep(40)
            assert made.deployer.candidates.record is None
            assert made.traffic.beside is None

    run(story())


def test_what_became_of_its_requests_is_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            made.traffic.counted = Counts(finished=3, cut=1)
            await abort(made)
            assert made.store.attempts(2)[1].requests == Counts(finished=3, cut=1)

    run(story())


def test_what_ends_a_share_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            done = await deploy(made, "c")
            assert isinstance(done, Done)
            words = "ends the candidate bbbbbbbb in slot b, which had 10% of the visitors and was never live"
            assert words in done.warnings

    run(story())


def test_requests_that_drain_when_all_go_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_has_a_share(made)
            made.traffic.busy = True
            made.faults.names.clear()
            ending: asyncio.Task[Outcome | object] = asyncio.ensure_future(abort(made))
            await until(lambda: "drained" in made.faults.names)
            assert made.traffic.beside is None
            assert made.faults.names.index("offered") < made.faults.names.index("drained")
            await asyncio.sleep(60)
            await ending
            check_rest(made, "")

    run(story())


def test_another_operation_is_refused_while_one_gives_a_share(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await b_is_held(made)
            task = made.deployer.share(1000, "cli", ignored)
            await asyncio.sleep(0)
            with pytest.raises(SlotMachineError, match="another deploy runs"):
                made.deployer.share(5000, "cli", ignored)
            assert isinstance(await task, Done)

    run(story())
