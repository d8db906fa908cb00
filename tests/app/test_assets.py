"""Assets of earlier versions: what a failure or the end of the daemon leaves behind."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from slot_machine.app.assets import Assets
from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.custody import Custody
from slot_machine.core.model import Attempt, Made, Version
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.files import assets as files
from tests.fakes import COMMITS, Database, Faults, Trees

CONFIG = VersionConfig(start_command="app", root="web", asset_dirs=("dist",), asset_keep=1)
OLD = Version("a", COMMITS["a"], 1, CONFIG)
NEW = Version("b", COMMITS["b"], 2, CONFIG)
NAME = "app-3f2a9c1b.js"

Story = Callable[[Assets, RunningAttempt], Awaitable[None]]


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    trees = Trees(Faults(), tmp_path)
    write(trees, OLD, NAME)
    write(trees, NEW, "app-4d5e6f70.js")
    return trees


def write(trees: Trees, version: Version, name: str) -> None:
    path = trees.path(version.tree) / "web" / "dist" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(version.commit)


def tell(trees: Trees, store: Database, story: Story) -> tuple[str, ...]:
    """Returns the warnings."""
    attempt = RunningAttempt(Attempt(id=0, kind="deploy", trigger="api", started_at="then"), store, lambda _: None)
    asyncio.run(told(story, Assets(trees, store), attempt))
    return attempt.warnings


async def told(story: Story, assets: Assets, attempt: RunningAttempt) -> None:
    await story(assets, attempt)


async def link(assets: Assets, attempt: RunningAttempt) -> None:
    await assets.link(attempt, NEW, OLD)


def linked(trees: Trees) -> Path:
    return trees.path(NEW.tree) / "web" / "dist" / NAME


def test_links_are_noted_by_their_names_in_the_tree(trees: Trees, store: Database) -> None:
    assert tell(trees, store, link) == ()

    assert linked(trees).read_text() == OLD.commit
    assert store.assets(NEW.tree).keys() == {b"web/dist/" + os.fsencode(NAME)}
    assert store.assets(OLD.tree) == {}


def test_links_are_not_the_apps_files(trees: Trees, store: Database) -> None:
    tell(trees, store, link)
    custody = Custody(trees, store)

    names = [f"web/dist/{NAME}", "web/dist/app-4d5e6f70.js"]

    assert asyncio.run(custody.app_files(NEW.tree)._not_of_setup(names)) == ["web/dist/app-4d5e6f70.js"]


@pytest.mark.parametrize("name", ["link", "remove", "planned"])
def test_failure_is_a_warning(trees: Trees, store: Database, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, name, full)

    (warning,) = tell(trees, store, link)

    assert "bbbbbbbb in slot b does not serve all assets of other versions: " in warning
    assert "No space left on device" in warning


def test_links_of_a_daemon_that_was_killed_meanwhile_are_removed_before_the_next_build(
    trees: Trees, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.link

    def killed(lacking: dict[Path, Path]) -> None:
        real(lacking)
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        tell(trees, store, link)
    assert linked(trees).exists()
    assert store.assets(NEW.tree), "so it does not count as a file that the app wrote"

    async def clear(assets: Assets, _: RunningAttempt) -> None:
        await assets.clear(NEW)

    tell(trees, store, clear)

    assert not linked(trees).exists()
    assert store.assets(NEW.tree) == {}
    assert (linked(trees).parent / "app-4d5e6f70.js").exists()


def test_build_does_not_begin_while_links_can_not_be_removed(
    trees: Trees, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    async def clear(assets: Assets, _: RunningAttempt) -> None:
        with pytest.raises(PermissionError):
            await assets.clear(NEW)

    tell(trees, store, link)
    monkeypatch.setattr(files, "remove", refused)
    tell(trees, store, clear)

    assert store.assets(NEW.tree), "they are still known"


def test_same_commit_that_was_built_again_serves_what_it_had_before(trees: Trees, store: Database) -> None:
    again = Version("b", OLD.commit, NEW.tree, CONFIG)

    async def redeploy(assets: Assets, attempt: RunningAttempt) -> None:
        await assets.link(attempt, again, OLD)

    tell(trees, store, redeploy)

    assert linked(trees).exists()


@pytest.mark.parametrize(
    "config",
    [
        VersionConfig(start_command="app", root="web"),
        VersionConfig(start_command="app", root="web", asset_dirs=("dist",), asset_keep=0),
    ],
)
def test_version_that_keeps_no_assets_gets_rid_of_its_links(
    trees: Trees, store: Database, config: VersionConfig
) -> None:
    tell(trees, store, link)

    async def go_back(assets: Assets, attempt: RunningAttempt) -> None:
        await assets.link(attempt, Version("b", NEW.commit, NEW.tree, config), OLD)

    assert tell(trees, store, go_back) == ()

    assert not linked(trees).exists()
    assert store.assets(NEW.tree) == {}


def test_copies_that_can_not_be_removed_are_a_warning(
    trees: Trees, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(trees, store, link)

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    async def prune(assets: Assets, attempt: RunningAttempt) -> None:
        await assets.prune(
            attempt, Version("b", NEW.commit, NEW.tree, VersionConfig(start_command="app", asset_keep=0))
        )

    monkeypatch.setattr("shutil.rmtree", refused)
    (warning,) = tell(trees, store, prune)

    assert "cannot remove assets of earlier versions from " in warning


def test_upload_in_a_folder_of_assets_stays_in_its_tree(trees: Trees, store: Database) -> None:
    tell(trees, store, link)
    app = trees.path(OLD.tree) / "web" / "dist" / NAME
    upload = app.with_name("photo-1a2b3c4d.jpg")
    upload.write_text("photo")
    tell(trees, store, link)
    status = app.stat()
    store.save_made(OLD.tree, Made({b"web/dist/" + os.fsencode(NAME): (status.st_size, status.st_mtime_ns)}))

    async def clear(assets: Assets, _: RunningAttempt) -> None:
        await assets.clear(OLD)

    tell(trees, store, clear)

    assert (app.exists(), upload.read_text()) == (False, "photo")
