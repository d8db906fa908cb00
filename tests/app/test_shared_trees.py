"""Shared data, and what becomes of a tree: used again, removed, blocked by the app."""

import asyncio

from tests.shop import Shop, same_everywhere


def test_link_that_git_ignores_is_gone_when_its_path_is_shared_no_more(shop: Shop) -> None:
    files = {".gitignore": "/data\n"}
    for _ in range(3):
        shop.deploy(files, shared_dirs=["data"])
    for _ in range(3):
        shop.deploy(files)
        assert not shop.live("data").is_symlink()


def test_rollback_is_ready_though_the_setup_had_changed_what_moved(shop: Shop) -> None:
    config = {"setup_command": "echo of the setup > data/a"}
    shop.deploy({"data/a": "1"}, **config)
    shop.deploy({"data/a": "1"}, shared_dirs=["data"], **config)

    assert shop.rollback() == ()


def test_commits_content_comes_without_what_an_earlier_version_left(shop: Shop) -> None:
    files = {".gitignore": "/data/old\n"}
    shop.deploy(files)
    shop.write("data/old", "of the first version")
    shop.deploy(files)
    shop.deploy(files)

    shop.deploy(files | {"data/new": "2"}, shared_dirs=["data"])

    assert [path.name for path in shop.live("data").iterdir()] == ["new"]
    assert shop.kept() == {"data/old": "of the first version"}


def test_empty_folder_of_the_live_version_gets_the_commits_content(shop: Shop) -> None:
    shop.deploy({})
    first = shop.live()
    (first / "data").mkdir()

    assert shop.deploy({"data/a": "1", "data/b/c": "2"}, shared_dirs=["data"]) == ()

    assert (first / "data" / "b" / "c").read_text() == "2"


def test_tree_that_is_removed_loses_no_data(shop: Shop) -> None:
    """Neither what its links lead to, nor what took the place of one."""
    config = {"shared_dirs": ["data"], "shared_files": ["settings"]}
    shop.deploy({"data/a": "1", "settings": "1"}, **config)
    shop.live("settings").unlink()
    shop.write("settings", "by the app")

    asyncio.run(shop.slots.discard(shop.attempt(), 1))

    assert (shop.shared / "data" / "a").read_text() == "1"
    assert shop.kept() == {"settings": "by the app"}


def test_app_that_blocks_the_way_of_a_link_fails_neither_a_rollback_nor_a_restart(shop: Shop) -> None:
    config = {"shared_dirs": ["public/uploads"]}
    shop.deploy({}, **config)
    (shop.live("public") / "uploads").unlink()
    shop.live("public").rmdir()
    shop.live("public").symlink_to("/")
    live, attempt = shop.store.state().live, shop.attempt()
    assert live
    asyncio.run(shop.slots.mend(attempt, live))
    assert "without all links" in attempt.warnings[0]
    shop.deploy({}, **config)

    assert any("prepared again" in warning for warning in shop.rollback())

    assert same_everywhere(shop, "public/uploads")


def test_live_data_takes_the_place_of_an_empty_folder_of_a_failed_deploy(shop: Shop) -> None:
    shop.deploy({})
    shop.prepare({}, shared_dirs=["data"])
    assert list((shop.shared / "data").iterdir()) == []
    shop.write("data/notes", "by the app")

    assert shop.deploy({}, shared_dirs=["data"]) == ()

    assert (shop.shared / "data/notes").read_text() == "by the app"
    assert same_everywhere(shop, "data")


def test_only_data_is_used_again_though_it_took_the_place_of_a_link(shop: Shop) -> None:
    """The app made its first file by a rename, which replaces the link."""
    config = {"shared_files": ["settings"]}
    shop.deploy({}, **config)
    shop.deploy({}, **config)
    shop.live("new").write_text("by the app")
    shop.live("new").rename(shop.live("settings"))
    shop.rollback()

    shop.rollback()

    assert (shop.shared / "settings").read_text() == "by the app"
    assert same_everywhere(shop, "settings")
    assert shop.kept() == {}
