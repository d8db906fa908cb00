"""A start whose port another program has taken, on a machine in memory: the app is started again on another port."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app import another_port
from slot_machine.app.another_port import STARTS
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import PortTaken, StageFailed
from slot_machine.core.model import Version
from tests.app.stories import (
    LONG_S,
    STRATEGIES,
    WITHOUT_PROBES,
    Story,
    a_is_live,
    a_was_live,
    b_is_live,
    check_rest,
    deploy,
    machine,
    recovery,
    restart,
    rollback,
    second_deploy,
)
from tests.app.watch_stories import BAD, begun, deploy_b
from tests.fakes import COMMITS, processes_of, run

TAKEN = "port 7 is not the app's"
TOLD = f"{TAKEN}; the app is started again on another port"


def taken(times: int) -> list[Exception]:
    return [PortTaken("health", TAKEN, hint="end process 1, and try again") for _ in range(times)]


@STRATEGIES
@pytest.mark.parametrize(
    ("before", "begin"),
    [(a_is_live, second_deploy), (b_is_live, rollback), (a_is_live, restart), (a_was_live, recovery)],
    ids=["deploy", "rollback", "restart", "recovery"],
)
def test_another_start_serves(tmp_path: Path, strategy: str, before: Story, begin: Story) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy}) as made:
            await before(made)
            earlier = len(made.launcher.started)
            made.launcher.failures += taken(STARTS - 1)
            await begin(made)

            assert [run.running for run in made.launcher.started[earlier:]] == [False] * (STARTS - 1) + [True]
            last = made.store.attempts(1)[0]
            assert (last.result, last.error, last.stage) == ("succeeded", "", "drain")
            assert last.warnings == (TOLD,) * (STARTS - 1)
            assert made.supervisor.web.restarts == 0
            assert all(count.number == 1 for count in made.supervisor.outages.counts())
            check_rest(made, "")

    run(story())


@STRATEGIES
def test_deploy_fails_when_the_last_start_has_no_port_either(tmp_path: Path, strategy: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy}) as made:
            await a_is_live(made)
            made.launcher.failures += taken(STARTS)
            outcome = await second_deploy(made)

            assert isinstance(outcome, StageFailed)
            assert (outcome.stage, str(outcome)) == ("health", TAKEN)
            assert outcome.warnings == (TOLD,) * (STARTS - 1)
            of_b = [run for run in made.launcher.started if run.version.commit == COMMITS["b"]]
            assert [run.running for run in of_b] == [False] * STARTS
            check_rest(made, "")

    run(story())


def test_other_failure_of_the_next_start_is_told_as_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            made.launcher.failures += [*taken(1), StageFailed("start", "cannot find a port for the app")]
            outcome = await deploy(made, "a")

            assert isinstance(outcome, StageFailed)
            assert str(outcome) == "cannot find a port for the app"
            assert len(made.launcher.started) == 2
            check_rest(made, "")

    run(story())


def test_stages_are_told_for_each_start(tmp_path: Path) -> None:
    async def story() -> None:
        told: list[str] = []
        async with machine(tmp_path) as made:
            made.launcher.failures += taken(1)

            def tell(event: object) -> None:
                stage = getattr(event, "stage", "")
                if stage in ("start", "health"):
                    told.append(f"{stage} {getattr(event, 'event', '')}: {getattr(event, 'message', '')}")

            assert isinstance(await made.deployer.deploy("a", "cli", tell), Done)

        begun = [line.partition(":")[0] for line in told]
        ends = ["start started", "start finished", "health started"]
        assert begun == [*ends, "health output", "health finished", *ends, "health finished"]
        assert told[3:5] == [f"health output: warning: {TOLD}", "health finished: another program has the port"]

    run(story())


def test_crashed_app_is_started_once_and_its_entry_tells_of_the_port(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            made.crash()
            made.launcher.failures += taken(1)
            await asyncio.sleep(LONG_S)

            crash, deployed = made.store.attempts(2)
            assert (crash.kind, crash.result, crash.warnings) == ("crash", "succeeded", (TOLD,))
            assert deployed.warnings == ()
            assert made.supervisor.web.restarts == 1
            assert made.supervisor.web.last_exit == "exit code 7"
            check_rest(made, "")

    run(story())


def test_old_version_that_comes_back_after_a_failure_tells_its_own_attempt(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": "replace"}) as made:
            await a_is_live(made)
            made.launcher.failures += [StageFailed("health", "it answered 500"), *taken(1)]
            assert isinstance(await deploy(made, "b"), StageFailed)

            failed, deployed = made.store.attempts(2)
            assert (failed.warnings, deployed.warnings) == ((), (TOLD,))
            assert made.supervisor.web.restarts == 0
            check_rest(made, "")

    run(story())


def test_version_to_go_back_to_is_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"watch_ms": 4_000}) as made:
            await a_is_live(made)
            old = made.supervisor.release
            assert old
            deploying = await begun(made, deploy_b)
            made.launcher.failures += taken(1)
            processes_of(old.web).end(9)
            await asyncio.sleep(1)
            made.evidence.new = BAD
            assert isinstance(await deploying, StageFailed)

            failed = made.store.attempts(1, crashes=False)[0]
            assert (failed.kind, failed.result, TOLD in failed.warnings) == ("deploy", "failed", True)
            check_rest(made, "")

    run(story())


def test_no_start_begins_after_the_time_of_the_first_one() -> None:
    """Requests are held for as long as all starts may take."""
    version, starts = Version("a", COMMITS["a"]), 0

    async def start() -> None:
        nonlocal starts
        starts += 1
        await asyncio.sleep(version.config.health_timeout_s * 0.6)
        raise taken(1)[0]

    async def story() -> None:
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(PortTaken):
            await another_port.started(start, version, lambda _: None)
        assert starts == 2
        assert asyncio.get_running_loop().time() - began_s < another_port.longest_s(version)

    run(story())
