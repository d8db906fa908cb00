"""What the daemon is told when it starts, and what it opens, in which order; none of it is real."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from slot_machine.app import leftovers, opening
from slot_machine.app.opening import Found, Options
from slot_machine.core.config_file import parse
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import GitFailed, StartRefused, StateDamaged
from slot_machine.core.version_config import VersionConfig
from tests.app.stories import ignored
from tests.fakes import Faults, raising, run

ORDER = [
    "check repository",
    "check writable",
    "open database",
    "take room",
    "fill configs",
    "adopt slots",
    "find workers",
    "make mode",
    "end leftovers",
    "interrupt unfinished",
    "find own path",
]
REBUILT = [*ORDER[:2], "rebuild", *ORDER[2:]]
OPENED = ORDER.index("open database") + 1

ERRORS = pytest.mark.parametrize(
    "error",
    [StartRefused("no", "do this"), PermissionError(13, "Permission denied"), ValueError("embedded null byte")],
    ids=["named", "of the system", "unforeseen"],
)


class Part:
    """A repository and a database: each call is a step with the name of the method."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    async def check_repository(self) -> None:
        await self._faults.step("check repository")

    async def check_writable(self) -> None:
        await self._faults.step("check writable")

    async def adopt_slots(self) -> None:
        await self._faults.step("adopt slots")

    def take_room(self) -> None:
        self._faults.now("take room")

    def fill_configs(self, config: VersionConfig) -> None:
        assert config.start_command == "x"
        self._faults.now("fill configs")

    async def path_in_repository(self, _: Path) -> str:
        await self._faults.step("find own path")
        return FILE_NAME

    def interrupt_unfinished(self) -> None:
        self._faults.now("interrupt unfinished")

    def close(self) -> None:
        self._faults.now("close database")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Faults:
    faults = Faults()
    part = Part(faults)
    database = tmp_path / "data" / "state.db"

    def named(name: str, result: object, *expected: object) -> Callable[..., object]:
        def call(*args: object, **_: object) -> object:
            assert args[: len(expected)] == expected
            faults.now(name)
            return result

        return call

    async def rebuild(*args: object) -> None:
        assert args == (database, part)
        await faults.step("rebuild")

    async def end(*args: object) -> None:
        assert args[0] is part
        assert args[1:] == (tmp_path / "data", ["worker"], "mode")
        await faults.step("end leftovers")

    monkeypatch.setattr(opening, "Worktrees", lambda *_: part)
    monkeypatch.setattr(opening, "open_sound", named("open database", part, database))
    monkeypatch.setattr(opening, "left_running", named("find workers", ["worker"], tmp_path / "data"))
    monkeypatch.setattr(opening, "mode_of", named("make mode", "mode"))
    monkeypatch.setattr(opening, "rebuild", rebuild)
    monkeypatch.setattr(leftovers, "end", end)
    return faults


@pytest.fixture
def options(tmp_path: Path) -> Options:
    config, _ = parse('{"start_command": "x", "user": 33, "group": null}')
    return Options(
        config, config, tmp_path / FILE_NAME, tmp_path / "repo", tmp_path / "data", proxy=True, rebuild_state=False
    )


def opened(options: Options, *, rebuild_state: bool = False) -> Found:
    with ExitStack() as stack:
        return run(opening.opened(options, stack, rebuild_state=rebuild_state))


def test_reload_can_change_neither_ports_nor_folders_nor_users(options: Options, tmp_path: Path) -> None:
    assert options.fixed == {
        "port": 3000,
        "internal_port": 3000,
        "api_port": 9100,
        "bind": "",
        "preview_port": 0,
        "user": "33",
        "group": "",
        "data": f"{tmp_path}/data",
        "repo": f"{tmp_path}/repo",
    }


@pytest.mark.parametrize(("rebuild_state", "order"), [(False, ORDER), (True, REBUILT)])
def test_order_of_the_opening(faults: Faults, options: Options, rebuild_state: bool, order: list[str]) -> None:
    found = opened(options, rebuild_state=rebuild_state)

    assert faults.names == [*order, "close database"]
    assert [*map(str, found.left), str(found.mode)] == ["worker", "mode"]


@pytest.mark.parametrize("step", REBUILT)
@ERRORS
def test_database_is_closed_whatever_fails(faults: Faults, options: Options, step: str, error: Exception) -> None:
    faults.at, faults.strike = REBUILT.index(step) + 1, raising(error)
    with pytest.raises(type(error)):
        opened(options, rebuild_state=True)

    closed = ["close database"] if REBUILT.index(step) > REBUILT.index("open database") else []
    assert faults.names == [*REBUILT[: faults.at], *closed]


@pytest.mark.parametrize("step", ["check repository", "check writable", "rebuild", "adopt slots", "end leftovers"])
def test_database_is_closed_if_the_opening_is_cancelled(faults: Faults, options: Options, step: str) -> None:
    async def story() -> None:
        task = asyncio.current_task()
        assert task
        faults.at, faults.strike = REBUILT.index(step) + 1, lambda: ignored(task.cancel())
        with ExitStack() as stack, pytest.raises(asyncio.CancelledError):
            await opening.opened(options, stack, rebuild_state=True)

    run(story())
    closed = ["close database"] if REBUILT.index(step) > REBUILT.index("open database") else []
    assert faults.names == [*REBUILT[: faults.at], *closed]


@pytest.mark.parametrize("step", ["check repository", "check writable"])
@pytest.mark.parametrize(
    ("own", "hint"), [("", "start in the app's repository, or name it with --repo"), ("own", "own")]
)
def test_repository_that_git_refuses_says_what_to_do(
    faults: Faults, options: Options, step: str, own: str, hint: str
) -> None:
    error = GitFailed("not a repository", own)
    for story in (lambda: opened(options), lambda: run(opening.check(options))):
        faults.names.clear()
        faults.at, faults.strike = ORDER.index(step) + 1, raising(error)
        with pytest.raises(StartRefused, match="repo as the app's repository: not a repository") as refused:
            story()
        assert refused.value.hint == hint
        assert faults.names[-1] == step


def test_check_opens_and_closes_the_database_and_changes_nothing(faults: Faults, options: Options) -> None:
    run(opening.check(options))

    assert faults.names == [*ORDER[:OPENED], "close database"]


def test_check_refuses_a_damaged_database(faults: Faults, options: Options) -> None:
    faults.at, faults.strike = OPENED, raising(StateDamaged("it is damaged", "rebuild it"))
    with pytest.raises(StartRefused, match="damaged"):
        run(opening.check(options))
