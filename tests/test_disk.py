"""A disk that is too small, or that fills up in the midst of a deploy: on a small file system of its own."""

import os
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.test_deploy_failures import fail_after
from tests.test_take_over import workers
from tests.world import Site, kill, serves


class Disk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, left_bytes: int = 0) -> None:
        """Leaves that much, or not even room for a byte."""
        wait_until("it is full", lambda: self._filled(left_bytes))
        if not left_bytes:
            assert os.statvfs(self.path).f_bavail == 0

    def _filled(self, left_bytes: int) -> bool:
        """Not if the daemon wrote something in between."""
        with self._filler.open("wb") as filler:
            status = os.statvfs(self.path)
            try:
                os.posix_fallocate(filler.fileno(), 0, status.f_bavail * status.f_frsize - left_bytes)
            except OSError:
                return False
        return True

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(site: Site, tmp_path: Path) -> Iterator[Disk]:
    """Holds the data folder; 64 MB and 600 inodes."""
    path = tmp_path / "disk"
    path.mkdir()
    options = "size=64m,nr_inodes=600"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system: {mounted.stderr.decode().strip()}")
    site.data = path
    try:
        yield Disk(path)
    finally:
        site.close()
        subprocess.run(["umount", "--lazy", path], check=True)


def live(site: Site, *options: str, **config: str | int) -> str:
    site.start(*options, "--data", str(site.data), **config)
    good = site.commit("good")
    assert site.post("/deploy", {"commit": good}).status == 200
    return good


def measured(site: Site, tree: int) -> bool:
    with sqlite3.connect(f"file:{site.data}/state.db?mode=ro", uri=True) as db:
        found = db.execute("SELECT * FROM sizes WHERE tree = ?", (tree,)).fetchone()
    db.close()
    return found is not None


def test_no_room_for_another_version(site: Site, disk: Disk) -> None:
    good = live(site, setup_command="head -c 20000000 /dev/zero > ignored")
    wait_until("the live slot is measured", lambda: measured(site, 1))
    disk.fill(left_bytes=30_000_000)
    site.commit("next")

    reply = fail_after(site, good, "checkout")

    for words in ("grow by 20.0 MB", "takes 38.0 MB with a margin", "30.0 MB are free", str(disk.path)):
        assert words in str(reply.body["error"])
    assert not (disk.path / "tree-2").exists()
    disk.make_room()
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200


def test_no_inodes_for_another_version(site: Site, disk: Disk) -> None:
    good = live(site, setup_command="mkdir ignored && cd ignored && seq 200 | xargs touch")
    wait_until("the live slot is measured", lambda: measured(site, 1))
    site.commit("next")

    reply = fail_after(site, good, "checkout")

    assert "inodes are free" in str(reply.body["error"])
    assert not (disk.path / "tree-2").exists()


def test_no_room_for_a_third_tree(site: Site, disk: Disk) -> None:
    live(site, setup_command="head -c 12000000 /dev/zero > ignored; test ! -e fails")
    site.commit("second")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    wait_until("both trees are measured", lambda: measured(site, 1) and measured(site, 2))
    disk.fill(left_bytes=28_000_000)
    site.commit("third", {"fails": ""})

    deploy = site.run("deploy")

    assert "warning: there is no room for a third tree, so" in deploy.stderr
    assert not (disk.path / "tree-3").exists()
    assert site.status()["previous_ready"] is False
    assert site.post("/rollback").status == 200
    assert site.serving() == "good"


def test_slot_that_is_full_already_needs_no_room(site: Site, disk: Disk) -> None:
    live(site, setup_command="head -c 20000000 /dev/zero > ignored")
    site.commit("second")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    wait_until("both slots are measured", lambda: measured(site, 1) and measured(site, 2))
    disk.fill(left_bytes=18_000_000)
    site.commit("third")

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200


def test_slot_that_no_daemon_got_to_measure_is_measured_by_the_next(site: Site) -> None:
    site.start()
    site.commit("good")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    wait_until("it is measured", lambda: measured(site, 1))
    site.daemons[-1].stop()
    with closing(sqlite3.connect(site.data / "state.db", isolation_level=None)) as db:
        db.execute("DELETE FROM sizes")

    site.start()

    wait_until("it is measured", lambda: measured(site, 1))


@pytest.mark.usefixtures("disk")
def test_checkout_that_fills_the_disk(site: Site) -> None:
    good = live(site)
    site.commit("large", {"data": "x" * 70_000_000})

    reply = fail_after(site, good, "checkout")

    assert "unable to write file" in str(reply.body["error"])
    assert "MB are free on the file system of" in str(reply.body["hint"])
    site.commit("small", {"data": "x"})
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200


def test_no_memory_for_a_second_copy_is_a_warning(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_MEMORY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    site.start()
    monkeypatch.delenv("PYTHONPATH")
    site.commit("first")
    assert "warning" not in site.run("deploy").stderr
    site.commit("second")

    second = site.run("deploy")

    assert second.returncode == 0
    assert re.search(r"warning: the app takes \d+\.\d MB of memory, and 1\.0 MB are left", second.stderr)


NO_MEMORY = """
from slot_machine.host import capacity
capacity.available_memory = lambda: 1_000_000
"""

STEPS = {
    "the setup's output": ("setup", "setup_command", "{wait}; seq 2000", "slot-b.log: No space left"),
    "the setup": ("setup", "setup_command", "{wait}; head -c 9000000 /dev/zero > ignored", "No space left on device"),
    "what the slot holds": ("setup", "setup_command", "{wait}", "cannot write the database"),
    "where it listens": ("health", "start_command", "{wait}; exec {start} >&-", "cannot write the database"),
}


@pytest.mark.parametrize("step", STEPS)
def test_disk_that_fills_up_before_a_step(site: Site, disk: Disk, step: str) -> None:
    stage, field, command, words = STEPS[step]
    waits, goes_on = site.folder / "waits", site.folder / "goes-on"
    goes_on.touch()
    wait = f"touch {waits}; while ! test -e {goes_on}; do sleep 0.01; done"
    good = live(site, **{field: command.format(wait=wait, start=site.config["start_command"])})
    goes_on.unlink()
    waits.unlink()
    bad = site.commit("bad")
    deploy = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.PIPE, text=True)
    wait_until("the deploy has come to that step", waits.exists)

    disk.fill()
    goes_on.touch()
    _, error = deploy.communicate(timeout=20)

    assert f"{stage}: " in error
    assert words in error
    assert site.serving() == "good"
    status = site.status()
    assert (status["live_commit"], status["healthy"]) == (good, True)
    last = status["last_attempt"]
    assert isinstance(last, dict)
    assert (last["commit"], last["stage"], last["result"]) == (bad, stage, "failed")
    disk.make_room()
    (site.data / "tree-2" / "ignored").unlink(missing_ok=True)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert [row["result"] for row in site.history()] == ["succeeded", "failed", "succeeded"]


def test_start_on_a_full_disk(site: Site, disk: Disk) -> None:
    good = live(site)
    site.daemons[-1].stop()
    disk.fill()

    refused = site.run("start", "--data", str(disk.path))

    assert refused.returncode == 1
    assert "disk" in refused.stderr
    assert "damaged" not in refused.stderr
    assert "hint: " in refused.stderr
    disk.make_room()
    site.start("--data", str(disk.path))
    assert site.status()["live_commit"] == good
    assert site.serving() == "good"


def test_data_plane_that_is_killed_on_a_full_disk_is_replaced(site: Site, disk: Disk) -> None:
    good = live(site)
    disk.fill()
    (worker,) = workers(site)
    kill(worker)

    assert site.serving() == "good"
    assert site.status()["live_commit"] == good
    assert site.daemons[-1].process.poll() is None


def test_live_version_comes_back_when_there_is_room_again(site: Site, disk: Disk) -> None:
    """Enough room to open the database, and not to write into it."""
    live(site, "--no-proxy")
    site.daemons[-1].stop()
    disk.fill(left_bytes=40_960)
    site.start("--no-proxy", "--data", str(disk.path))
    assert site.status()["healthy"] is False

    disk.make_room()

    wait_until("the app is back", lambda: serves(site))
    assert site.serving() == "good"
