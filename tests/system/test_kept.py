"""What the app wrote into its own tree, and what was edited by hand: kept, and said."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes import kill_daemon
from tests.system.trees import Setups, as_before_trees, deploy, rolls_back_at_once
from tests.world import Site


def kept(site: Site) -> dict[str, str]:
    """Contents by name, without the folder of the occasion."""
    files = [path for path in (site.data / "kept").rglob("*") if path.is_file()]
    return {str(Path(*path.relative_to(site.data / "kept").parts[1:])): path.read_text() for path in files}


def warnings(reply: object) -> str:
    assert isinstance(reply, list)
    return "\n".join(reply)


def write(site: Site, **texts: str) -> None:
    """As the live app does."""
    for name, text in texts.items():
        path = site.data / "live" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def make_database(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS notes (text)")
        db.execute("INSERT INTO notes VALUES (?)", (text,))


def notes(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [text for (text,) in db.execute("SELECT text FROM notes")]


def test_uploads_are_kept_when_their_tree_is_used_again(site: Site) -> None:
    site.start(setup_command="mkdir -p built; echo built > built/page; echo setup > by-setup")
    deploy(site, "v1")
    written = {"upload": "mine", "built/cache": "by the app", "by-setup": "changed by the app", "setup.sh": "hacked"}
    write(site, **written)
    deploy(site, "v2")

    site.commit("v3")
    third = site.run("deploy")

    assert kept(site) == written
    (folder,) = (site.data / "kept").iterdir()
    assert folder.name.startswith("a-")
    assert third.stderr.count(f"warning: kept in {folder}") == 1
    assert "upload" in third.stderr
    assert site.serving() == "v3"


def test_reply_names_what_was_kept(site: Site) -> None:
    site.start()
    deploy(site, "v1")
    write(site, upload="mine")
    site.commit("v2")
    told = warnings(site.post("/deploy", {"commit": "HEAD"}).body["warnings"])
    assert told.endswith('in slot a: upload; to keep that for all versions, add "shared_files": ["upload"]')
    site.commit("v3")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert "no setup has it: upload" in warnings(reply.body["warnings"])
    assert site.post("/rollback").body["warnings"] == []
    assert site.post("/deploy", {"commit": "nothing"}).body["warnings"] == []
    assert kept(site) == {"upload": "mine"}


def test_refusal_has_the_warnings_that_came_before_it(site: Site) -> None:
    site.start(spare_tree=False)
    deploy(site, "v1", "v2")
    site.commit("bad", exit=1)

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert (reply.status, reply.body["success"]) == (500, False)
    assert "is overwritten" in warnings(reply.body["warnings"])


def test_what_is_overwritten_without_a_spare_tree_is_kept(site: Site) -> None:
    site.start(spare_tree=False)
    deploy(site, "v1")
    write(site, upload="mine", ignored="app's")
    deploy(site, "v2")
    (site.repo / ".gitignore").write_text(".slot-machine\nslot-machine.json\n")

    site.commit("v3", {"ignored": "of the commit"})
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    assert (site.data / "live" / "ignored").read_text() == "of the commit"
    assert kept(site) == {"upload": "mine", "ignored": "app's"}


def test_failed_setup_has_nothing_to_keep(site: Site) -> None:
    site.start(setup_command="echo junk > junk; echo x >> setup.sh; test ! -e fails")
    deploy(site, "v1", "v2")
    for _ in range(2):
        site.commit("bad", {"fails": ""})
        assert site.post("/deploy", {"commit": "HEAD"}).status == 500
    (site.repo / "fails").unlink()

    site.commit("v3")
    assert site.post("/deploy", {"commit": "HEAD"}).body["warnings"] == []

    assert not (site.data / "kept").exists()


@pytest.mark.parametrize("fails", [True, False])
def test_ignored_data_that_a_setup_touched_is_kept_when_git_ignores_it_no_more(site: Site, fails: bool) -> None:
    site.start(setup_command="touch ignored; test ! -e fails")
    deploy(site, "v1")
    write(site, ignored="mine")
    deploy(site, "v2", "v3")
    site.commit("v4", {"fails": ""} if fails else {})
    assert (site.post("/deploy", {"commit": "HEAD"}).status == 200) is not fails
    if fails:
        (site.repo / "fails").unlink()
    else:
        deploy(site, "v5", "v6")
    (site.repo / ".gitignore").write_text(".slot-machine\nslot-machine.json\n")

    deploy(site, "v7")

    assert kept(site)["ignored"] == "mine"


def test_what_cannot_be_kept_is_said_and_stays(site: Site) -> None:
    blocked = site.folder / "blocked"
    site.start(setup_command=f"test ! -e {blocked} || touch {site.data}/kept")
    deploy(site, "v1")
    write(site, upload="mine")
    deploy(site, "v2")
    blocked.touch()
    site.commit("v3")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert "tree-1 yet; the next deploy there tries again" in warnings(reply.body["warnings"])
    assert site.post("/deploy", {"commit": "HEAD"}).status == 500
    assert (site.data / "tree-1" / "upload").read_text() == "mine"
    blocked.unlink()
    (site.data / "kept").unlink()
    deploy(site, "v4")
    assert kept(site) == {"upload": "mine"}


def test_ignored_database_that_a_deploy_leaves_behind_is_named(site: Site) -> None:
    site.start()
    deploy(site, "v1")
    make_database(site.data / "live" / "ignored", "written by v1")
    site.commit("v2")

    reply = site.post("/deploy", {"commit": "HEAD"})
    assert "wrote into" in warnings(reply.body["warnings"])
    assert "ignored" in warnings(reply.body["warnings"])
    make_database(site.data / "live" / "ignored", "written by v2")

    assert "ignored" in warnings(site.post("/rollback").body["warnings"])
    assert notes(site.data / "live" / "ignored") == ["written by v1"]


def test_database_that_the_commit_tracks_is_data_and_no_edit(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=setups.command)
    make_database(site.repo / "app.db", "of the commit")
    deploy(site, "v1")
    make_database(site.data / "live" / "app.db", "by a visitor of v1")
    deploy(site, "v2")

    rolls_back_at_once(site, setups, "v1")

    assert notes(site.data / "live" / "app.db") == ["of the commit", "by a visitor of v1"]
    assert not (site.data / "kept").exists()
    deploy(site, "v3", "v4")
    (path,) = (site.data / "kept").glob("*/app.db")
    assert notes(path) == ["of the commit", "by a visitor of v1"]


def test_hand_edits_are_named_and_kept(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=setups.command)
    deploy(site, "first", "second")
    edited = site.data / "previous" / "behaviour.json"
    edited.write_text('{"version": "edited"}')

    rollback = site.run("rollback")

    assert rollback.returncode == 0
    assert "in slot a was edited (behaviour.json): prepared again" in rollback.stderr
    assert (site.serving(), setups.count()) == ("first", 3)
    assert kept(site) == {"behaviour.json": '{"version": "edited"}'}
    assert "behaviour.json" in rollback.stderr.partition("warning: kept in")[2]


def test_rollback_that_cannot_prepare_an_edited_version_again_leaves_the_edits(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=f"{setups.command} && test ! -e {site.folder}/offline")
    deploy(site, "first", "second")
    edited = site.data / "previous" / "behaviour.json"
    before = edited.read_text()
    edited.write_text('{"version": "edited"}')
    (site.folder / "offline").touch()

    reply = site.post("/rollback")

    assert (reply.status, site.serving()) == (500, "second")
    assert "was edited" in warnings(reply.body["warnings"])
    edited.write_text(before)
    assert site.post("/rollback").status == 200
    assert site.serving() == "first"


def test_what_a_setup_made_is_not_kept_after_a_failed_one(site: Site) -> None:
    """It would take the room that a tree is given up for."""
    site.start(setup_command="test -e ignored || echo built > ignored; test ! -e setup.sh || sh setup.sh")
    deploy(site, "v1", "v2", "v3")
    site.commit("bad", {"setup.sh": "exit 1\n"})
    assert site.post("/deploy", {"commit": "HEAD"}).status == 500
    kill_daemon(site)
    site.start(spare_tree=False)

    deploy(site, "v4")

    assert not (site.data / "tree-1").exists()
    assert kept(site) == {}


def test_rollback_that_finds_another_commit_in_the_tree_says_so(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=setups.command)
    _, second = deploy(site, "first", "second")
    site.git("-C", str(site.data / "previous"), "checkout", "--quiet", "--detach", second)

    reply = site.post("/rollback")

    assert (reply.status, site.serving(), setups.count()) == (200, "first", 3)
    assert "in slot a was edited" in warnings(reply.body["warnings"])


def test_rollback_goes_on_where_git_cannot_read_the_repository(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=setups.command)
    deploy(site, "first", "second")
    site.git("config", "core.repositoryFormatVersion", "99")

    reply = site.post("/rollback")

    assert (reply.status, site.serving(), setups.count()) == (200, "first", 2), reply
    assert "is started as it stands, as git can't tell of edits: git rev-parse" in warnings(reply.body["warnings"])


def test_slot_of_an_earlier_release_is_begun_anew_and_its_ignored_files_are_kept(site: Site) -> None:
    site.start()
    deploy(site, "v1", "v2")
    write(site, upload="mine", ignored="app's")
    kill_daemon(site)
    as_before_trees(site)
    site.start()

    deploy(site, "v3", "v4", "v5")

    assert kept(site) == {"upload": "mine", "ignored": "app's"}


def test_unusual_names(site: Site) -> None:
    names = ["new\nline", "caf\udce9", "'quoted\" \\", "-dash", "tab\t", "ünï"]
    site.start()
    deploy(site, "v1")
    write(site, **dict.fromkeys(names, "mine"))
    deploy(site, "v2")

    site.commit("v3")
    said = warnings(site.post("/deploy", {"commit": "HEAD"}).body["warnings"])

    assert "caf\\xe9" in said
    assert "\n" not in said
    assert kept(site) == dict.fromkeys(names, "mine")
