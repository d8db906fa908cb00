"""A database that is damaged or gone: `start` says so, and `--rebuild-state` makes a new one from what is on disk."""

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
