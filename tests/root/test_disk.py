"""A disk that is too small, or that fills up in the midst of a deploy: on a small file system of its own."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.processes import kill, kill_daemon, workers
from tests.world import Site, fail_after, serves


class Disk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, left_bytes: int = 0) -> None:
        """Leaves that much, or not even room for a byte."""
        with self._filler.open("ab", buffering=0) as filler:
            size = os.fstat(filler.fileno()).st_size
            status = os.statvfs(self.path)
            more = status.f_bavail * status.f_frsize - (left_bytes or 65_536)
            if more > 0:
                with suppress(OSError):  # The daemon may take some of it meanwhile.
                    os.posix_fallocate(filler.fileno(), size, more)
            for piece in (bytes(4096), b"x") if not left_bytes else ():
                with suppress(OSError):
                    while True:
                        filler.write(piece)
        assert left_bytes or os.statvfs(self.path).f_bavail == 0

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(site: Site, tmp_path: Path) -> Iterator[Disk]:
    """Holds the data folder; 80 MB and 600 inodes."""
    path = tmp_path / "disk"
    path.mkdir()
    with mounted(site, path, "-t", "tmpfs", "-o", "size=80m,nr_inodes=600", "tmpfs"):
        yield Disk(path)


@pytest.fixture(params=["tmpfs", "ext4", "ext4 with the repository"])
def full_disk(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Iterator[Disk]:
    """Like `disk`; or as file systems on disks are, where the repository may lie as well."""
    path = tmp_path / "disk"
    path.mkdir()
    if request.param == "tmpfs":
        arguments = ["-t", "tmpfs", "-o", "size=80m,nr_inodes=600", "tmpfs"]
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(80_000_000)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "1024", "-m", "0", image], check=True)
        arguments = ["-o", "loop", str(image)]
    with mounted(site, path, *arguments):
        if request.param == "ext4 with the repository":
            shutil.move(site.repo, path / "repo")
            site.repo.symlink_to(path / "repo")
            site.data = path / "data"
        yield Disk(path)


@contextmanager
def mounted(site: Site, path: Path, *arguments: str) -> Iterator[None]:
    done = subprocess.run(["mount", *arguments, path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a file system: {done.stderr.decode().strip()}")
    site.data = path
    try:
        yield
    finally:
        try:
            site.close()
        finally:
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
    site.commit("large", {"data": "x" * 90_000_000})

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
from slot_machine.host.files import capacity
capacity.available_memory = lambda: 1_000_000
"""

STEPS = {
    "the setup's output": ("{wait}; seq 2000", "slot-b.log: No space left"),
    "the setup": ("{wait}; head -c 9000000 /dev/zero > ignored", "No space left on device"),
}


class Gate:
    """A setup that waits, so that the disk can fill up meanwhile."""

    def __init__(self, site: Site) -> None:
        self._waits, self._open = site.folder / "waits", site.folder / "goes-on"
        self.command = f"touch {self._waits}; while ! test -e {self._open}; do sleep 0.01; done"
        self.open()

    def open(self) -> None:
        self._open.touch()

    def shut(self) -> None:
        self._open.unlink()
        self._waits.unlink(missing_ok=True)

    def wait(self) -> None:
        wait_until("the setup waits", self._waits.exists)


def deploy_on(site: Site, gate: Gate, disk: Disk) -> tuple[int, str]:
    """Deploys HEAD, and fills the disk during the setup."""
    gate.shut()
    deploy = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.PIPE, text=True)
    gate.wait()
    disk.fill()
    gate.open()
    _, error = deploy.communicate(timeout=20)
    return deploy.returncode, error


@pytest.mark.parametrize("step", STEPS)
def test_disk_that_fills_up_before_a_step(site: Site, disk: Disk, step: str) -> None:
    command, words = STEPS[step]
    gate = Gate(site)
    good = live(site, setup_command=command.format(wait=gate.command))
    bad = site.commit("bad")

    _, error = deploy_on(site, gate, disk)

    assert "setup: " in error
    assert words in error
    assert site.serving() == "good"
    status = site.status()
    assert (status["live_commit"], status["healthy"]) == (good, True)
    last = status["last_attempt"]
    assert isinstance(last, dict)
    assert (last["commit"], last["stage"], last["result"]) == (bad, "setup", "failed")
    disk.make_room()
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert [row["result"] for row in site.history()] == ["succeeded", "failed", "succeeded"]


def test_what_is_left_to_write_has_its_room(site: Site, disk: Disk) -> None:
    """From the setup's end on, in the database, the log and the symlinks."""
    gate = Gate(site)
    live(site, setup_command=gate.command)
    site.commit("next")

    assert deploy_on(site, gate, disk)[0] == 0

    assert (site.serving(), (disk.path / "live").resolve().name) == ("next", "tree-2")
    assert site.history()[-1]["result"] == "succeeded"


def test_rollback_and_restart_on_a_full_disk(site: Site, full_disk: Disk) -> None:
    first = live(site)
    site.commit("second")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    full_disk.fill()

    for version in ("good", "second", "good"):
        assert site.post("/rollback").status == 200
        assert site.serving() == version
    assert site.status()["live_commit"] == first
    assert (site.data / "live" / "behaviour.json").read_text() == '{"version": "good"}'
    assert [row["result"] for row in site.history()] == ["succeeded"] * 5

    kill(int(site.get("/pid")[1]))
    wait_until("the app is back", lambda: site.status()["healthy"] and site.status()["restarts"])
    site.daemons[-1].stop()
    full_disk.fill()
    site.start("--data", str(site.data))
    assert site.serving() == "good"


def test_killed_daemon_starts_again_on_a_full_disk(site: Site, full_disk: Disk) -> None:
    """On blocks smaller than a page, the kernel kills who writes into a hole of SQLite's shared memory (SIGBUS)."""
    live(site)
    for _ in range(2):
        shared_memory = (site.data / "state.db-shm").stat()
        assert shared_memory.st_blocks * 512 >= shared_memory.st_size
        full_disk.fill()
        kill_daemon(site)
        site.start("--data", str(site.data))
        assert site.serving() == "good"
        assert not (site.data / "reserve").exists()
        full_disk.make_room()
        wait_until("there is a reserve again", (site.data / "reserve").exists)


@pytest.mark.usefixtures("full_disk")
def test_setup_that_fills_the_disk_costs_neither_rollback_nor_the_next_deploy(site: Site) -> None:
    live(site, setup_command="echo mine > kept-by-setup; test ! -e large || cat /dev/zero > ignored/large")
    site.commit("second")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    for name in ("live", "previous"):
        (site.data / name / "ignored").mkdir()
        (site.data / name / "ignored" / "upload").write_text(name)
    site.commit("third")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    site.commit("bad", {"large": ""})

    failed = site.run("deploy")

    assert "No space left" in failed.stderr
    assert "warning: the disk is full: removed what" in failed.stderr
    assert (site.data / "tree-1" / "ignored" / "upload").read_text() == "previous"
    assert site.post("/rollback").status == 200
    assert site.serving() == "second"
    (site.repo / "large").unlink()
    site.commit("good again")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "good again"


@pytest.mark.usefixtures("full_disk")
def test_daemon_that_is_killed_in_a_setup_that_fills_the_disk(site: Site) -> None:
    live(site, setup_command="test ! -e large || { cat /dev/zero > ignored; touch ../full; sleep 600; }")
    site.commit("second")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    site.commit("bad", {"large": ""})
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
    wait_until("the disk is full", (site.data / "full").exists)
    kill_daemon(site)
    client.wait(10)

    site.start("--data", str(site.data))

    assert site.post("/rollback").status == 200
    (site.repo / "large").unlink()
    site.commit("third")
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert (reply.status, site.serving()) == (200, "third")
    assert "removed what a failed deploy" in str(reply.body["warnings"])


def test_tree_that_nobody_needs_makes_room(site: Site, disk: Disk) -> None:
    live(site, setup_command="head -c 9000000 /dev/zero > ignored")
    for version in ("second", "third"):
        site.commit(version)
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    (disk.path / "tree-1" / "upload").write_text("mine")
    wait_until("all are measured", lambda: all(measured(site, tree) for tree in (1, 2, 3)))
    disk.fill(left_bytes=10_000_000)
    site.commit("fourth")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert (reply.status, site.serving()) == (200, "fourth")
    assert not (disk.path / "tree-1").exists()
    assert "is overwritten" in str(reply.body["warnings"])
    (upload,) = (disk.path / "kept").glob("*/upload")
    assert upload.read_text() == "mine"


def test_room_that_was_made_in_the_live_tree_counts(site: Site, disk: Disk) -> None:
    live(site, setup_command="head -c 9000000 /dev/zero > ignored")
    wait_until("it is measured", lambda: measured(site, 1))
    disk.fill(left_bytes=18_000_000)
    site.commit("second")
    assert site.post("/deploy", {"commit": "HEAD"}).status != 200

    (disk.path / "tree-1" / "ignored").write_text("")
    disk.fill(left_bytes=18_000_000)
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"setup_command": "true"}))
    assert site.run("reload").returncode == 0

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200


def test_reserve_is_made_again(site: Site, disk: Disk) -> None:
    live(site)
    wait_until("it is there", (disk.path / "reserve").exists)
    disk.fill()
    kill(int(site.get("/pid")[1]))
    wait_until("the app is back", lambda: site.status()["healthy"] and site.status()["restarts"])
    assert not (disk.path / "reserve").exists()

    disk.make_room()

    wait_until("it is there again", (disk.path / "reserve").exists)


def test_start_on_a_full_disk_without_a_reserve(site: Site, disk: Disk) -> None:
    good = live(site)
    site.daemons[-1].stop()
    (disk.path / "reserve").unlink()
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
    (disk.path / "reserve").unlink()
    disk.fill(left_bytes=40_960)
    site.start("--no-proxy", "--data", str(disk.path))
    assert site.status()["healthy"] is False

    disk.make_room()

    wait_until("the app is back", lambda: serves(site))
    assert site.serving() == "good"
