"""A run that takes too much memory is restarted: after 10 s, not too often, and not if that does not help."""

import asyncio
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from slot_machine.app.memory import LOOK_INTERVAL_S, OVER_S, MemoryWatch
from slot_machine.app.run import Run
from slot_machine.core.backoff import FIRST_GAP_S, LONGEST_GAP_S, next_gap_s
from slot_machine.core.config_file import parse
from slot_machine.core.errors import Busy
from slot_machine.core.limits import limits_of
from slot_machine.core.model import WEB
from tests.app.stories import WITHOUT_PROBES, first_deploy, machine
from tests.fakes import Machine, processes_of, run

LIMIT_MB = 100
LIMITED = WITHOUT_PROBES | {"memory_max_mb": LIMIT_MB}
WITH_WORKER = WITHOUT_PROBES | {"processes": {"worker": {"command": "work", "memory_max_mb": LIMIT_MB}}}


class Story:
    """`mb` is what each run takes, by its name; `grows_s` is how long a fresh run takes little."""

    def __init__(self, machine: Machine, config: Mapping[str, object]) -> None:
        self.machine = machine
        self.mb = {WEB: 0, "worker": 0}
        self.grows_s = 0.0
        self.restarts: list[tuple[float, str]] = []
        self.busy = False
        self._seen: dict[int, float] = {}
        parsed, _ = parse(json.dumps({"start_command": "app"} | dict(config)))
        self.watch = MemoryWatch(parsed.daemon, machine.supervisor, self.restart, self.measure)

    async def measure(self, run: Run, _: int) -> int:
        now_s = asyncio.get_running_loop().time()
        grown = now_s - self._seen.setdefault(run.run_id, now_s) >= self.grows_s
        return self.mb[run.name] * 1_000_000 if grown else 0

    async def restart(self, why: str) -> None:
        if self.busy:
            raise Busy("a deploy runs")
        self.restarts.append((asyncio.get_running_loop().time(), why))
        await self.replace()

    async def replace(self) -> None:
        supervisor = self.machine.supervisor
        old = await supervisor.pause()
        assert old
        supervisor.watch(await self.machine.launcher.launch(old.version), 1)
        await old.stop(0)

    async def goes_on(self, seconds: float) -> None:
        keeping = asyncio.create_task(self.watch.keep())
        await asyncio.sleep(seconds)
        keeping.cancel()


def told(machine: Machine) -> list[str]:
    return [warning for attempt in machine.deployer.attempts.history(10, jobs=False) for warning in attempt.warnings]


def test_run_above_its_limit_is_restarted_after_10_s_and_the_reason_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, LIMITED) as made:
            await first_deploy(made)
            story = Story(made, LIMITED)
            story.mb[WEB] = 150
            await story.goes_on(OVER_S - 1)
            assert not story.restarts
            await story.goes_on(OVER_S)
            assert [why for _, why in story.restarts] == ["it takes 150 MB, above memory_max_mb (100)"]

    run(story())


def test_run_that_takes_too_much_for_a_moment_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, LIMITED) as made:
            await first_deploy(made)
            story = Story(made, LIMITED)
            for _ in range(5):
                story.mb[WEB] = 150
                await story.goes_on(OVER_S - 3)
                story.mb[WEB] = 100
                await story.goes_on(OVER_S - 3)
            assert not story.restarts

    run(story())


def test_fresh_run_that_takes_too_much_at_once_is_left_alone_and_that_is_told_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, LIMITED) as made:
            await first_deploy(made)
            story = Story(made, LIMITED)
            story.mb[WEB] = 150
            await story.goes_on(3600)
            assert len(story.restarts) == 1
            assert WEB in story.watch.given_up
            (warning,) = told(made)
            assert "it is not restarted again" in warning
            story.mb[WEB] = 0
            await story.replace()
            await story.goes_on(10)
            assert not story.watch.given_up

    run(story())


def test_run_that_is_left_alone_is_killed_at_twice_its_limit(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, LIMITED) as made:
            await first_deploy(made)
            story = Story(made, LIMITED)
            story.mb[WEB] = 150
            await story.goes_on(60)
            release = made.supervisor.release
            assert WEB in story.watch.given_up
            assert release
            assert release.running
            story.mb[WEB] = 250
            await story.goes_on(LOOK_INTERVAL_S + 0.5)
            assert not release.running
            assert made.supervisor.web.last_exit.endswith("250 MB, above memory_max_mb (100), and more than twice that")
            story.mb[WEB] = 0
            await story.goes_on(5)
            assert made.supervisor.running
            assert len(story.restarts) == 1

    run(story())


def test_no_run_is_killed_while_a_deploy_may_replace_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, LIMITED) as made:
            await first_deploy(made)
            story = Story(made, LIMITED)
            release = made.supervisor.release
            assert release
            story.mb[WEB], story.busy = 250, True
            await story.goes_on(60)
            assert release.running

    run(story())


def test_leak_is_restarted_less_and_less_often(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, LIMITED) as made:
            await first_deploy(made)
            story = Story(made, LIMITED)
            story.mb[WEB], story.grows_s = 150, 70
            await story.goes_on(2000)
            times = [at_s for at_s, _ in story.restarts]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            assert len(gaps) > 2
            assert gaps == sorted(gaps)
            assert gaps[-1] > 4 * FIRST_GAP_S

    run(story())


@pytest.mark.parametrize(
    ("last_s", "up_s", "expected_s"),
    [(0, 1, FIRST_GAP_S), (60, 100, 120), (60, 240, 60), (3000, 100, LONGEST_GAP_S), (3600, 86_400, FIRST_GAP_S)],
)
def test_slow_leak_is_no_reason_to_wait(last_s: float, up_s: float, expected_s: float) -> None:
    assert next_gap_s(last_s, up_s) == expected_s


def test_restart_waits_for_the_deploy_that_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, LIMITED) as made:
            await first_deploy(made)
            story = Story(made, LIMITED)
            story.mb[WEB], story.busy = 150, True
            await story.goes_on(100)
            assert not story.restarts
            story.busy = False
            await story.goes_on(5)
            assert len(story.restarts) == 1

    run(story())


def test_worker_is_replaced_as_at_a_switch(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITH_WORKER) as made:
            await first_deploy(made)
            await asyncio.sleep(1)
            assert made.supervisor.release
            old = made.supervisor.release.runs["worker"]
            story = Story(made, WITH_WORKER)
            story.mb["worker"] = 150
            await story.goes_on(OVER_S + 10)
            fresh = made.supervisor.release.runs["worker"]
            assert fresh is not old
            assert fresh.running
            assert processes_of(old).signals == ["SIGTERM"]
            assert not old.running
            assert not story.restarts
            (count,) = made.supervisor.outages.counts()
            assert (count.process, count.cause, count.number) == ("worker", "memory", 1)
            assert made.supervisor.watches["worker"].last_exit == "it takes 150 MB, above memory_max_mb (100)"

    run(story())


def test_run_without_a_limit_is_not_looked_at(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES) as made:
            await first_deploy(made)
            story = Story(made, WITHOUT_PROBES)
            story.mb[WEB] = 10_000
            await story.goes_on(100)
            assert not story._seen

    run(story())


def test_limits_are_those_of_the_daemon_or_of_the_process() -> None:
    config, _ = parse(
        '{"start_command": "app", "memory_max_mb": 512, "cpu_weight": 200,'
        ' "processes": {"worker": {"command": "w", "count": 2, "memory_max_mb": 300}, "plain": "p"}}'
    )
    limits = {name: limits_of(name, config.daemon, config.version) for name in (WEB, "worker.2", "plain", "gone")}

    assert {name: (found.memory_max_mb, found.cpu_weight) for name, found in limits.items()} == {
        WEB: (512, 200),
        "worker.2": (300, 100),
        "plain": (0, 100),
        "gone": (0, 100),
    }
    assert limits[WEB].hard_bytes == 1_024_000_000


@pytest.mark.parametrize("name", [WEB, "worker"])
def test_kill_by_the_kernel_at_twice_the_limit_is_told(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITH_WORKER) as made:
            await first_deploy(made)
            await asyncio.sleep(1)
            assert made.supervisor.release
            processes = processes_of(made.supervisor.release.runs[name])
            processes.killed_for_memory = 1
            processes.end(-9)
            await asyncio.sleep(0.5)
            last_exit = made.supervisor.watches[name].last_exit
            assert last_exit.startswith("killed by SIGKILL; the kernel killed 1 of its processes, as")

    run(story())
