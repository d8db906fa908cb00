"""What the app wrote into its tree is told after each restart: once, in the history, and beside the restart."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from slot_machine.app.inspection import MOST_WARNINGS
from slot_machine.core.errors import GitFailed
from slot_machine.host.files.app_files import AppFiles
from tests.app.stories import STRATEGIES, WITHOUT_PROBES, deploy, machine
from tests.fakes import Machine, run, until


class App:
    """`wrote` is what it has in its tree. `looks`: how often that was asked for."""

    def __init__(self) -> None:
        self.wrote: list[str] = []
        self.looks = 0
        self.failure: Exception | None = None
        self.takes_s = 0.0

    async def written(self) -> list[str]:
        self.looks += 1
        if self.failure:
            raise self.failure
        await asyncio.sleep(self.takes_s)
        return self.wrote

    async def lines(self, names: list[str], _root: str) -> str:
        return f'"shared_files": {names}'


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> App:
    app = App()
    monkeypatch.setattr(AppFiles, "written", app.written)
    monkeypatch.setattr(AppFiles, "lines_to_share", app.lines)
    return app


def warnings(machine: Machine, attempt: int = 1) -> list[str]:
    found = machine.deployer.attempts.find(attempt)
    assert found
    return [warning for warning in found.warnings if "wrote into the tree" in warning]


async def crash(machine: Machine) -> None:
    restarts = machine.supervisor.web.restarts
    machine.crash()
    await until(lambda: machine.supervisor.web.restarts > restarts and machine.supervisor.running)
    await asyncio.sleep(0.1)


def test_each_new_set_of_names_is_told_once(tmp_path: Path, app: App) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            await crash(made)
            assert warnings(made) == []

            app.wrote = ["db.sqlite3"]
            for _ in range(3):
                await crash(made)
            (warning,) = warnings(made)
            assert "db.sqlite3; to keep that for all versions, add" in warning

            app.wrote = ["db.sqlite3", "uploads/1.png"]
            for _ in range(3):
                await crash(made)
            assert len(warnings(made)) == 2
            assert "uploads/1.png" in warnings(made)[1]

    run(story())


def test_a_new_daemon_tells_the_same_attempt(tmp_path: Path, app: App) -> None:
    """It took the app over, so it did not make it live. What an earlier daemon told, it does not tell again."""

    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "b")
            await deploy(made, "a")
            app.wrote = ["x"]
            await crash(made)
            release = made.supervisor.release
            assert release
            made.supervisor._attempt = 0

            await crash(made)
            assert len(warnings(made, 2)) == 1
            app.wrote = ["y"]
            await crash(made)
            assert len(warnings(made, 2)) == 2
            assert warnings(made, 1) == []

    run(story())


def test_app_that_writes_another_file_before_each_crash_does_not_fill_the_history(tmp_path: Path, app: App) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            for number in range(MOST_WARNINGS + 5):
                app.wrote = [f"dump.{number}"]
                await crash(made)
            assert len(warnings(made)) == MOST_WARNINGS

            await deploy(made, "b")
            second = made.store.attempts(1)[0].id
            before = len(warnings(made, second))
            app.wrote = ["another"]
            await crash(made)
            assert len(warnings(made, second)) == before + 1

    run(story())


@pytest.mark.parametrize(
    "failure", [GitFailed("no"), OSError(5, "no"), sqlite3.OperationalError("full"), ValueError("unforeseen")]
)
def test_a_look_that_fails_changes_nothing(tmp_path: Path, app: App, failure: Exception) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            app.failure = failure
            await crash(made)
            assert app.looks == 3
            assert made.supervisor.running
            assert warnings(made) == []

    run(story())


def test_no_restart_waits_for_a_look_and_there_is_one_at_a_time(tmp_path: Path, app: App) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deploy(made, "a")
            before, app.takes_s, app.wrote = app.looks, 1000, ["x"]
            for _ in range(3):
                await crash(made)
            assert app.looks == before + 1
            await asyncio.sleep(1000)
            assert len(warnings(made)) == 1

            await crash(made)
            # The daemon ends in the midst of this one, and does not wait for it.
            began_s = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() < began_s + 100

    run(story())


@STRATEGIES
def test_version_that_is_started_again_after_a_failed_deploy(tmp_path: Path, app: App, strategy: str) -> None:
    """It was stopped for the next version only under `replace`."""

    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"strategy": strategy}) as made:
            await deploy(made, "a")
            app.wrote = ["x"]
            made.launcher.failures.append(OSError("no"))
            await deploy(made, "b")
            await asyncio.sleep(1)
            assert len(warnings(made)) == (1 if strategy == "replace" else 0)

    run(story())
