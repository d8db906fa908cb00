"""Data that all versions share: where it comes from, and that none is lost."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.core.version_config import VersionConfig
from tests.repository import Repository
from tests.shop import Shop, opened, same_everywhere


def test_first_deploy_makes_an_empty_folder(shop: Shop) -> None:
    assert shop.deploy({}, shared_dirs=["data", "public/uploads/"]) == ()

    assert same_everywhere(shop, "data")
    assert same_everywhere(shop, "public/uploads")
    assert list((shop.shared / "data").iterdir()) == []


def test_data_is_the_same_in_each_version(shop: Shop) -> None:
    for number in range(5):
        assert shop.deploy({}, shared_dirs=["data", "public/uploads"]) == ()
        shop.write(f"data/{number}", "by the app")
        assert same_everywhere(shop, "data")
    shop.rollback()
    assert {path.name for path in shop.live("data").iterdir()} == set("01234")
    assert shop.kept() == {}


def test_file_that_nobody_has_is_not_made(shop: Shop) -> None:
    """And the app makes it through the link."""
    shop.deploy({}, shared_files=["db.sqlite3"])

    assert not (shop.shared / "db.sqlite3").exists()
    shop.write("db.sqlite3", "by the app")
    shop.deploy({}, shared_files=["db.sqlite3"])
    assert shop.live("db.sqlite3").read_text() == "by the app"
    assert same_everywhere(shop, "db.sqlite3")


def test_file_that_the_setup_makes_is_shared(shop: Shop) -> None:
    setup = "test -e settings || echo of the setup > settings"
    shop.deploy({}, shared_files=["settings"], setup_command=setup)
    assert (shop.shared / "settings").read_text() == "of the setup\n"
    shop.write("settings", "by the app")

    assert shop.deploy({}, shared_files=["settings"], setup_command=setup) == ()

    assert shop.live("settings").read_text() == "by the app"
    assert shop.live("settings").is_symlink()


@pytest.mark.parametrize("field", ["shared_dirs", "shared_files"])
def test_commits_content_is_the_first_data(shop: Shop, field: str) -> None:
    name = "data" if field == "shared_dirs" else "data/of commit"
    shop.deploy({"data/of commit": "1"}, **{field: [name]})

    assert (shop.shared / "data" / "of commit").read_text() == "1"
    assert same_everywhere(shop, name)
    assert shop.live("data").is_symlink() == (field == "shared_dirs"), "only the named path becomes a link"


@pytest.mark.parametrize("ignored", [True, False])
def test_what_the_live_version_wrote_is_moved(shop: Shop, ignored: bool) -> None:
    files = {".gitignore": "/uploads\n"} if ignored else {}
    shop.deploy(files)
    shop.write("uploads/a", "by the app")
    first = shop.live()

    shop.deploy(files, shared_dirs=["uploads"])

    assert shop.live("uploads/a").read_text() == "by the app"
    assert same_everywhere(shop, "uploads")
    assert (first / "uploads").resolve() == shop.shared / "uploads"
    assert shop.kept() == {}


def test_rollback_to_a_version_without_shared_data_sees_what_was_moved(shop: Shop) -> None:
    shop.deploy({"uploads/.gitkeep": ""})
    shop.write("uploads/a", "1")
    shop.deploy({"uploads/.gitkeep": ""}, shared_dirs=["uploads"])
    shop.write("uploads/b", "2")

    assert not any("edited" in warning for warning in shop.rollback())

    assert {path.name for path in shop.live("uploads").iterdir()} == {".gitkeep", "a", "b"}
    assert same_everywhere(shop, "uploads")


def test_rollback_that_has_to_prepare_again_sees_it_too(shop: Shop) -> None:
    shop.deploy({"app": "1"})
    shop.write("uploads/a", "1")
    first = shop.live()
    shop.deploy({"app": "2"}, shared_dirs=["uploads"])
    (first / "app").write_text("edited")

    assert any("edited (app)" in warning for warning in shop.rollback())

    assert shop.live() != first
    assert shop.live("uploads/a").read_text() == "1"


def test_live_versions_data_comes_before_the_commits(shop: Shop) -> None:
    shop.deploy({"data/default": "1"})
    shop.write("data/default", "by the app")

    warnings = shop.deploy({"data/default": "2", "data/new": "2"}, shared_dirs=["data"])

    assert shop.live("data/default").read_text() == "by the app"
    assert any("does not see these files of its commit" in warning for warning in warnings)
    assert shop.kept() == {"data/default": "2", "data/new": "2"}


def test_path_that_is_shared_no_more_is_the_commits_own(shop: Shop) -> None:
    files = {"data/a": "of the commit"}
    shop.deploy(files, shared_dirs=["data"])
    shop.write("data/a", "by the app")

    (warning,) = shop.deploy(files)

    assert warning.startswith("data is not shared any more")
    assert shop.live("data/a").read_text() == "of the commit"
    assert (shop.shared / "data" / "a").read_text() == "by the app"
    again = shop.deploy(files, shared_dirs=["data"])
    assert any("data/a in its own tree" in warning for warning in again)
    assert shop.live("data/a").read_text() == "by the app"


def test_neither_git_nor_the_look_for_edits_sees_links(shop: Shop) -> None:
    files = {"data/a": "1", "db": "1"}
    shop.deploy(files)
    first = shop.live()
    for tree in range(2):
        shop.deploy(files, shared_dirs=["data"], shared_files=["db"])
        shop.write("data/a", str(tree))
        shop.write("db", str(tree))
        assert shop.status(shop.live()) == ""
    assert shop.status(first) == ""
    assert shop.rollback() == ()


def test_checkout_follows_no_link(shop: Shop) -> None:
    """Also where the database does not tell that there is one."""
    for _ in range(3):
        shop.deploy({"data/a": "1"}, shared_dirs=["data"])
    shop.write("data/upload", "by the app")
    for tree in (1, 2, 3):
        shop.store.save_shared_paths(tree, ())

    shop.deploy({"data/a": "2"})

    assert {path.name: path.read_text() for path in (shop.shared / "data").iterdir()} == {
        "a": "1",
        "upload": "by the app",
    }
    assert shop.live("data/a").read_text() == "2"
    assert not shop.live("data").is_symlink()


def test_app_that_moves_in_its_repository_finds_its_data(shop: Shop) -> None:
    shop.deploy({"app": ""}, shared_dirs=["data"])
    shop.write("data/a", "1")

    shop.deploy({"apps/web/app": ""}, shared_dirs=["data"], root="apps/web")

    assert shop.live("apps/web/data/a").read_text() == "1"


@pytest.mark.parametrize(
    ("files", "config", "error"),
    [
        ({"data": "a file"}, {"shared_dirs": ["data"]}, "no folder, but shared_dirs names it"),
        ({"data/a": "1"}, {"shared_files": ["data"]}, "a folder, but shared_files names it"),
        ({"data": "a file"}, {"shared_dirs": ["data/uploads"]}, "so no link can be made below it"),
    ],
)
def test_wrong_kind_is_refused(shop: Shop, files: dict[str, str], config: dict[str, object], error: str) -> None:
    with pytest.raises(StageFailed, match=error) as failed:
        shop.deploy(files, **config)
    assert failed.value.stage == "checkout"
    assert shop.deploy({"data/a": "1"}, shared_dirs=["data"]) == ()


def test_names_that_begin_alike_are_two(shop: Shop) -> None:
    shop.deploy({}, shared_dirs=["img/news", "img/newsletters"])

    assert same_everywhere(shop, "img/news")
    assert same_everywhere(shop, "img/newsletters")


def test_submodule_is_not_shared(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")
    other = tmp_path / "other"
    other.mkdir()
    inner = Repository(other)
    inner.commit({"a": "1"})
    shop.run_git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(inner.path), "data")
    shop.run_git("commit", "--quiet", "--message", "with a submodule")
    config = msgspec.convert({"start_command": "app", "shared_dirs": ["data"]}, VersionConfig)
    version = Version("a", shop.run_git("rev-parse", "HEAD"), 1, config)

    with pytest.raises(StageFailed, match="a submodule can't be shared"):
        asyncio.run(shop.slots.prepare(shop.attempt(), version))


def test_open_database_is_moved_when_the_live_version_has_stopped(shop: Shop) -> None:
    """With `replace`. Until then, the setup works with the live version's own."""
    shop.deploy({})
    with closing(sqlite3.connect(shop.live("app.db"))) as db, db:
        db.execute("CREATE TABLE notes (text)")
    first, setup = shop.live(), "readlink -f app.db"
    config = {"shared_files": ["app.db"], "setup_command": setup}
    with opened(shop.live("app.db")):
        with pytest.raises(StageFailed, match=r"cannot share app.db: .* has it open") as refused:
            shop.prepare({}, **config)
        assert '"strategy": "replace"' in refused.value.hint
        version, warnings = shop.prepare({}, strategy="replace", **config)
        assert warnings == ()
        tree = shop.worktrees.path(version.tree)
        assert (tree / "app.db").resolve() == first / "app.db"
        with pytest.raises(StageFailed, match="has it open"):
            asyncio.run(shop.slots.old_stopped(shop.attempt(), version))
        assert not (first / "app.db").is_symlink()

    shop.deploy({}, strategy="replace", **config)

    assert same_everywhere(shop, "app.db")
    assert (first / "app.db").resolve() == shop.shared / "app.db"


def test_shared_data_is_not_counted_as_a_part_of_the_tree(shop: Shop) -> None:
    shop.deploy({}, shared_dirs=["data"])
    (shop.live("data") / "large").write_bytes(bytes(1_000_000))

    size = asyncio.run(shop.worktrees.measure(1))

    assert size
    assert size.bytes < 100_000
