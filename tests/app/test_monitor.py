"""Questions for the health of the live app: when they are asked, and what comes of them."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from slot_machine.app.monitor import FAILURES_IN_A_ROW, SHORTEST_PAUSE_S, Monitor
from slot_machine.app.release import Release
from slot_machine.core.config_file import parse
from slot_machine.core.model import Version
from slot_machine.host.network.probe import Answer
from tests.fakes import COMMITS, HEALTHY, Database, Faults, Launcher, run

SICK = Answer(503, "503 (after 2 ms)")
INTERVAL_S = 2.0

Story = Callable[[Monitor, Release], Coroutine[None, None, None]]


class Asked(Launcher):
    """Answers after a while, and notes when it was asked."""

    takes_s = 0.0

    def __init__(self, store: Database, data: Path) -> None:
        super().__init__(Faults(), store, data)
        self.asked_s: list[float] = []

    async def probe(self, release: Release) -> Answer:
        self.asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.takes_s)
        return await super().probe(release)


@pytest.fixture
def launcher(store: Database, tmp_path: Path) -> Asked:
    return Asked(store, tmp_path)


@pytest.fixture(autouse=True)
def time_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: asyncio.get_running_loop().time())


def tell(launcher: Asked, story: Story, **config: object) -> None:
    settings = {"start_command": "app", "health_interval_ms": int(INTERVAL_S * 1000)} | config

    async def told() -> None:
        version = Version("a", COMMITS["a"], config=parse(json.dumps(settings))[0].version)
        release = Release(version, launcher.process(version))
        await story(Monitor(parse(json.dumps(settings))[0].daemon, launcher), release)

    run(told())


async def watched(monitor: Monitor, release: Release, for_s: float) -> bool:
    """Whether it was to be started again within that time."""
    try:
        async with asyncio.timeout(for_s):
            await monitor.until_to_be_started_again(release)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("takes_s", [0.0, 0.5])
def test_it_is_asked_once_an_interval_however_long_an_answer_takes(launcher: Asked, takes_s: float) -> None:
    launcher.takes_s = takes_s

    async def story(monitor: Monitor, release: Release) -> None:
        await watched(monitor, release, 3.5 * INTERVAL_S)
        assert launcher.asked_s == pytest.approx([INTERVAL_S, 2 * INTERVAL_S, 3 * INTERVAL_S])

    tell(launcher, story)


def test_it_is_left_alone_for_a_moment_after_an_answer_that_took_longer_than_an_interval(launcher: Asked) -> None:
    launcher.takes_s = 3 * INTERVAL_S

    async def story(monitor: Monitor, release: Release) -> None:
        await watched(monitor, release, 8 * INTERVAL_S)
        first, second, *_ = launcher.asked_s
        assert second - first == pytest.approx(launcher.takes_s + SHORTEST_PAUSE_S)

    tell(launcher, story)


def test_one_that_is_not_known_to_be_well_is_asked_at_once(launcher: Asked) -> None:
    launcher.answers += [SICK]

    async def story(monitor: Monitor, release: Release) -> None:
        await monitor.taken_over(release)
        assert monitor.reason
        await watched(monitor, release, INTERVAL_S / 2)
        assert launcher.asked_s == pytest.approx([0, SHORTEST_PAUSE_S])
        assert monitor.reason == ""

    tell(launcher, story)


@pytest.mark.parametrize("restarts", [True, False])
def test_it_is_started_again_only_after_failures_in_a_row_and_where_that_is_wished(
    launcher: Asked, restarts: bool
) -> None:
    launcher.answers += [SICK] * (FAILURES_IN_A_ROW - 1) + [HEALTHY] + [SICK] * FAILURES_IN_A_ROW

    async def story(monitor: Monitor, release: Release) -> None:
        assert await watched(monitor, release, 100) is restarts
        assert monitor.failures == {"503": 2 * FAILURES_IN_A_ROW - 1}, "by what came, without its time"
        assert bool(monitor.reason) is restarts, "else it was asked again, and is well"

    tell(launcher, story, restart_when_unhealthy=restarts)


def test_it_is_not_started_again_while_another_version_may_take_over(launcher: Asked) -> None:
    launcher.answers += [SICK] * 100

    async def story(monitor: Monitor, release: Release) -> None:
        monitor.deploying = True
        assert not await watched(monitor, release, 10 * INTERVAL_S)
        assert monitor.reason
        monitor.deploying = False
        assert await watched(monitor, release, INTERVAL_S)

    tell(launcher, story, restart_when_unhealthy=True)


def test_what_cannot_be_asked_is_no_failure(launcher: Asked) -> None:
    launcher.answers += [SICK] * (FAILURES_IN_A_ROW - 1) + [OSError(24, "Too many open files")] * 9 + [SICK]

    async def story(monitor: Monitor, release: Release) -> None:
        await watched(monitor, release, 10.5 * INTERVAL_S)
        assert monitor.reason == "", "it stands at one less than too many"
        await watched(monitor, release, 2.5 * INTERVAL_S)
        assert monitor.failures["503"] == FAILURES_IN_A_ROW
        assert "503" in monitor.reason

    tell(launcher, story)


@pytest.mark.parametrize("at_s", [0.0, INTERVAL_S / 2, INTERVAL_S + 0.1, INTERVAL_S + 0.6])
def test_it_can_be_left_at_any_moment_and_watched_again(launcher: Asked, at_s: float) -> None:
    """Before a question, within it, and after it."""
    launcher.takes_s = 0.5
    launcher.answers += [SICK] * FAILURES_IN_A_ROW

    async def story(monitor: Monitor, release: Release) -> None:
        assert not await watched(monitor, release, at_s)
        assert await watched(monitor, release, (FAILURES_IN_A_ROW + 1) * INTERVAL_S)
        assert sum(monitor.failures.values()) == FAILURES_IN_A_ROW

    tell(launcher, story, restart_when_unhealthy=True)


def test_another_version_begins_without_what_the_one_before_came_to(launcher: Asked) -> None:
    launcher.answers += [SICK] * FAILURES_IN_A_ROW

    async def story(monitor: Monitor, release: Release) -> None:
        monitor.crashed()
        monitor.started_again()
        assert "started again" in monitor.reason
        await watched(monitor, release, 100)
        launcher.answers += [SICK] * FAILURES_IN_A_ROW
        await watched(monitor, release, 3.5 * INTERVAL_S)
        assert "503" in monitor.reason

        monitor.crashed()
        monitor.proven()
        assert monitor.reason == ""

    tell(launcher, story)
