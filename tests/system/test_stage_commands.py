"""Build and release commands of a whole daemon."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from spec.waiting import wait_until

from tests.processes import alive
from tests.world import MODES, Site, live

RELEASE = "test ! -e release.sh || sh release.sh"


@MODES
def test_build_and_release_see_the_new_version_and_run_before_it(site: Site, options: tuple[str, ...]) -> None:
    (site.repo / ".env").write_text("DATABASE=shop.db\n")
    log = site.folder / "log"
    note = f"echo release $(cat version.txt) $DATABASE $SLOT_MACHINE_COMMIT ${{PORT-none}} >> {log}"
    commands = {
        "build_command": "touch built; echo building",
        "release_command": f"{note}; test ! -e built || echo built",
        "env_file": ".env",
    }
    site.commit("v0", {"version.txt": "v0\n"})
    live(site, *options, **commands)
    log.unlink()
    commit = site.commit("v1", {"version.txt": "v1\n"})

    done = site.run("deploy")

    assert done.returncode == 0, done.stderr
    stages = [line.split()[0] for line in done.stderr.splitlines() if not line.startswith("  |")]
    assert stages[2:6] == ["setup", "build", "release", "start"] or stages[2:6] == [
        "setup",
        "build",
        "release",
        "drain",
    ]
    assert "  | building" in done.stderr
    assert log.read_text() == f"release v1 shop.db {commit} none\n"
    assert "  | built" in done.stderr

    assert site.run("rollback").returncode == 0
    assert log.read_text().count("\n") == 1, "a rollback releases nothing"


@MODES
def test_release_command_that_fails_leaves_the_live_version(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options, release_command=RELEASE)
    app = site.get("/pid")
    site.commit("bad", {"release.sh": "echo no such table; exit 3\n"})

    done = site.run("deploy")

    assert done.returncode == 1
    assert "error: release: release_command failed with exit code 3" in done.stderr
    assert "  | no such table" in done.stderr
    assert "hint: the database may be half migrated" in done.stderr
    assert site.get("/pid") == app
    assert site.status()["live_commit"] == good


@MODES
def test_release_command_is_cancelled_by_force(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options, release_command=RELEASE)
    app = site.get("/pid")
    pids = site.folder / "pids"
    site.commit("slow", {"release.sh": f"echo $$ >> {pids}; sleep 600 & echo $! >> {pids}; wait\n"})

    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.run, "deploy")
        wait_until("the release command runs", lambda: len(_numbers(pids)) == 2)
        refused = site.run("cancel")
        assert refused.returncode == 1
        assert "release_command runs" in refused.stderr
        assert "slot-machine cancel --force" in refused.stderr
        assert all(map(alive, _numbers(pids)))
        assert site.post("/cancel").status == 409
        assert site.post("/cancel", {"force": "yes"}).status == 400

        forced = site.run("cancel", "--force")
        done = deploying.result()

    assert (forced.returncode, done.returncode) == (0, 1), forced.stderr
    assert "in stage release" in forced.stdout
    assert not any(map(alive, _numbers(pids)))
    last = site.history()[-1]
    assert (last["result"], last["stage"]) == ("cancelled", "release")
    assert "the database may be half migrated" in str(last["error"])
    assert site.get("/pid") == app
    assert site.status()["live_commit"] == good


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in path.read_text().split()] if path.exists() else []
