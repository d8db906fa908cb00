"""A database that is damaged or gone: `start` says so, and `--rebuild-state` makes a new one from what is on disk."""

import subprocess
from pathlib import Path

from tests.world import Site

TRUTH = ("live_slot", "live_commit", "previous_slot", "previous_commit")


def two_versions(site: Site) -> dict[str, object]:
    """Deploys two versions, stops the daemon, and returns what it said."""
    site.start()
    for version in ("first", "second"):
        site.commit(version)
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    status = site.status()
    site.daemons[-1].stop()
    return status


def truth(status: dict[str, object]) -> list[object]:
    return [status[name] for name in TRUTH]


def refused(site: Site, *options: str) -> str:
    done = site.run("start", *options)
    assert done.returncode == 1
    return done.stderr


def test_rebuilt_state_says_what_is_on_disk(site: Site) -> None:
    before = two_versions(site)
    garbage = b"not a database" * 100
    (site.data / "state.db").write_bytes(garbage)
    assert "--rebuild-state" in refused(site)

    site.start("--rebuild-state")

    assert truth(site.status()) == truth(before)
    assert site.status()["last_deploy_time"] != ""
    assert site.serving() == "second"
    (aside,) = (path for path in site.data.glob("state.db.damaged-*") if not path.is_symlink())
    assert aside.read_bytes() == garbage
    assert site.post("/rollback").status == 200
    assert site.serving() == "first"
    site.daemons[-1].stop()
    assert "is sound" in refused(site, "--rebuild-state")
    site.start()
    assert site.serving() == "first"


def test_slots_are_rebuilt_as_they_are_known_to_be(site: Site) -> None:
    """One that was edited is prepared again, and one that a failed deploy overwrote is no rollback target any more."""
    setups = site.folder / "setups"
    site.config["setup_command"] = f"echo x >> {setups}"
    two_versions(site)
    site.start()
    site.commit("bad", exit=1)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 500
    site.daemons[-1].stop()
    (site.data / "state.db").unlink()
    edited = site.data / "slot-b" / "behaviour.json"
    edited.write_text(edited.read_text().replace("second", "edited"))
    setups.unlink()

    site.start("--rebuild-state")

    assert site.serving() == "second"
    assert setups.read_text() == "x\n"
    assert site.status()["previous_slot"] == ""


def test_link_that_leads_nowhere_is_not_guessed_about(site: Site) -> None:
    before = two_versions(site)
    live: Path = site.data / "live"
    (site.data / "state.db").unlink()
    subprocess.run(["mv", site.data / "slot-b", site.folder / "moved"], check=True)
    assert f"the link {live} leads to slot-b" in refused(site, "--rebuild-state")
    subprocess.run(["mv", site.folder / "moved", site.data / "slot-b"], check=True)

    site.start("--rebuild-state")

    assert truth(site.status()) == truth(before)


def test_killed_in_the_midst_of_a_rebuild(site: Site) -> None:
    """The old files are aside and the new ones not yet in place."""
    before = two_versions(site)
    (site.data / "state.db").rename(site.data / "state.db.new")
    (site.data / "state.db.seal").rename(site.data / "state.db.new.seal")
    assert "--rebuild-state" in refused(site)

    site.start("--rebuild-state")

    assert truth(site.status()) == truth(before)
