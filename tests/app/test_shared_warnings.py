"""What is said of data that is not shared, or that is hidden by shared data."""

import asyncio

from tests.shop import Shop, same_everywhere


def test_files_that_are_hidden_by_the_data_are_named_at_each_deploy(shop: Shop) -> None:
    shop.deploy({"data/a": "1"}, shared_dirs=["data"])
    for _ in range(2):
        (warning,) = shop.deploy({"data/a": "1", "data/b": "2"}, shared_dirs=["data"])
        assert warning.endswith("others or none: data/b")
    assert not (shop.shared / "data" / "b").exists()
    assert shop.kept() == {}


def test_link_that_became_a_file_is_named_and_kept(shop: Shop) -> None:
    config = {"shared_files": ["settings"]}
    shop.deploy({"settings": "1"}, **config)
    shop.live("settings").unlink()
    shop.write("settings", "by the app")
    assert any("settings of" in warning and "no link any more" in warning for warning in shop.deploy({}, **config))

    warnings = shop.rollback()

    assert any("settings" in warning for warning in warnings)
    assert shop.kept() == {"settings": "by the app"}
    assert shop.live("settings").read_text() == "1"


def test_folder_left_by_an_earlier_version_is_kept(shop: Shop) -> None:
    """Its data were of a tree that nobody uses any more."""
    files = {".gitignore": "/data\n"}
    shop.deploy(files)
    shop.write("data/old", "of the first version")
    shop.deploy(files)
    shop.deploy(files)
    shop.live("data").mkdir()
    shop.write("data/new", "of the live version")

    shop.deploy(files, shared_dirs=["data"])

    assert [path.name for path in shop.live("data").iterdir()] == ["new"]
    assert shop.kept() == {"data/old": "of the first version"}


def test_app_that_replaces_its_file_is_told_at_its_deploy_and_in_the_status(shop: Shop) -> None:
    config = {"shared_dirs": ["data"], "shared_files": ["settings", "key"]}
    shop.deploy({"settings": "1", "key": "1"}, **config)
    shop.live("settings").unlink()
    shop.write("settings", "2")
    shop.live("key").unlink()

    live = shop.store.state().live
    assert live
    assert shop.slots.shared_in_words(live) == {"data": "linked", "settings": "replaced", "key": "missing"}
    attempt = shop.attempt()
    asyncio.run(shop.slots.mend(attempt, live))
    assert shop.slots.shared_in_words(live) == {"data": "linked", "settings": "replaced", "key": "linked"}
    assert "settings" in attempt.warnings[0]
    assert shop.live("settings").read_text() == "2", "the live version goes on with it"


def test_setup_that_removes_a_link_gets_it_again(shop: Shop) -> None:
    warnings = shop.deploy({}, shared_dirs=["data", "logs"], setup_command="rm data logs; mkdir data; echo x > data/x")

    assert same_everywhere(shop, "data")
    assert same_everywhere(shop, "logs")
    assert shop.kept() == {"data/x": "x\n"}
    assert warnings[0].startswith("data in slot a is no link any more")


def test_links_that_lead_to_another_version_are_named(shop: Shop) -> None:
    setup = "mkdir -p public; ln -sfn $PWD/public public/own; ln -sfn ../../slot-b/storage public/storage"

    (warning,) = shop.deploy({}, setup_command=setup)

    assert "public/storage to ../../slot-b/storage; make them relative" in warning
    assert "public/own" not in warning


def test_what_the_app_wrote_into_its_tree_is_named_with_the_lines_to_add(shop: Shop) -> None:
    files = {
        ".gitignore": "*.sqlite3\nuploads/*\n!.gitkeep\n",
        "uploads/.gitkeep": "",
        "media/.keep": "",
        "lib/code": "",
    }
    setup = "echo 1 > built"
    shop.deploy(files, setup_command=setup)
    for name in ("uploads/2026/a.png", "db.sqlite3", "db.sqlite3-wal", "lib/generated/x", "lib/new", "media/b"):
        shop.write(name, "by the app")
    for name in ("node_modules/x/y", "__pycache__/x.pyc", "log/production.log", "tmp/x", "app.pid", ".cache/x"):
        shop.write(name, "not data")

    (warning, *_) = shop.deploy(files, setup_command=setup)

    assert warning.endswith(
        "db.sqlite3, lib/generated/x, lib/new, media/b, uploads/2026/a.png; to keep that for all versions, add"
        ' "shared_dirs": ["lib/generated", "media", "uploads"], "shared_files": ["db.sqlite3", "lib/new"]'
    )


def test_ignored_data_is_named_once_more_before_its_tree_is_overwritten(shop: Shop) -> None:
    files = {".gitignore": "/uploads\n"}
    shop.deploy(files)
    shop.write("uploads/a", "by the app")
    shop.deploy(files)
    shop.deploy(files)

    assert "uploads/a; to keep" in shop.deploy(files)[0]
    assert shop.deploy(files) == ()


def test_database_whose_app_does_not_follow_the_link_is_named(shop: Shop) -> None:
    shop.deploy({"app.db": "1"}, shared_files=["app.db"])
    shop.write("app.db-wal", "beside the link")

    warnings = shop.deploy({"app.db": "1"}, shared_files=["app.db"])

    assert any("has app.db-wal beside a link" in warning for warning in warnings)
    shop.deploy({"app.db": "1"}, shared_files=["app.db"])
    assert shop.kept() == {"app.db-wal": "beside the link"}
