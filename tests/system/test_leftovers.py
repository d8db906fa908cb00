"""Whatever an app started goes with its slot, whatever it did to get away."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from spec.orchestrator import Orchestrator
from spec.waiting import wait_until

from slot_machine.host.process import cgroup
from tests.processes import alive, groups, kill_daemon
from tests.world import Site, live

FUGITIVE = """
import os, sys, time
def leave(name, *steps):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    env = {} if "clean" in steps else os.environ
    command = f"echo $$ > {sys.argv[1]}/{name}.tmp; mv {sys.argv[1]}/{name}.tmp {sys.argv[1]}/{name}; exec sleep 600"
    os.execve("/bin/sh", ["/bin/sh", "-c", command], {"PATH": os.environ["PATH"], **env})
leave("daemonised")
leave("cleaned", "clean")
"""

MOVED = """
import os, signal, sys, time
def move(name, env, *, stays):
    if os.fork():
        return
    with open(sys.argv[2], "w") as group:
        group.write("0")
    os.setsid()
    if stays:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif os.fork():
        os._exit(0)
    command = f"echo $$ > {sys.argv[1]}/{name}.tmp; mv {sys.argv[1]}/{name}.tmp {sys.argv[1]}/{name}; exec sleep 600"
    os.execve("/bin/sh", ["/bin/sh", "-c", command], env)
move("daemonised", os.environ, stays=False)
move("cleaned", {"PATH": os.environ["PATH"]}, stays=True)
time.sleep(600)
"""
"""Out of the control group: one with the mark in its environment, and a child of the app's, which outlives that."""


@pytest.fixture(params=["cgroup", "without"])
def either(request: pytest.FixtureRequest, site: Site) -> Site:
    """Where the daemon may make control groups, and in a mount namespace that has none."""
    if request.param == "without":
        if os.geteuid() or not shutil.which("unshare"):
            pytest.skip("needs root and unshare(1)")
        binary = site.folder / "slot-machine"
        unmount = "grep -o ' /[^ ]* .* - cgroup2 ' /proc/self/mountinfo | cut -d' ' -f3 | xargs -r -n1 umount -l"
        binary.write_text(
            f"#!/bin/sh\nexec unshare --mount sh -c '{unmount.replace(chr(39), chr(34))}; exec \"$@\"' - "
            f'{site.orchestrator.binary} "$@"\n'
        )
        binary.chmod(0o755)
        site.orchestrator = Orchestrator(binary)
    elif cgroup.usable_parent() is None:
        pytest.skip("no control group can be made here")
    return site


def fugitives(folder: Path) -> dict[str, int]:
    names = ("daemonised", "cleaned")
    wait_until("they have got away", lambda: all((folder / name).exists() for name in names))
    return {name: int((folder / name).read_text()) for name in names}


def child(folder: Path) -> list[str]:
    folder.mkdir()
    return [sys.executable, "-c", FUGITIVE, str(folder)]


def test_what_got_away_is_ended_with_its_slot_and_no_other(either: Site) -> None:
    site = either
    site.start()
    site.commit("v1", child=child(site.folder / "one"))
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    first = fugitives(site.folder / "one")
    site.commit("v2", child=child(site.folder / "two"))

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    second = fugitives(site.folder / "two")

    assert not [name for name, pid in first.items() if alive(pid)]
    assert all(map(alive, second.values()))
    assert site.daemons[-1].stop() == 0
    assert not [name for name, pid in second.items() if alive(pid)]
    assert groups(site) == []


def test_failed_deploy_leaves_nothing_that_got_away(either: Site) -> None:
    site = either
    live(site, health_timeout_ms=2000)
    site.commit("bad", healthy=False, child=child(site.folder / "bad"))

    assert site.post("/deploy", {"commit": "HEAD"}).status == 500

    pids = fugitives(site.folder / "bad")
    assert not alive(pids["daemonised"])
    # Without a group it could be the live version's as well, so it goes when that is ended.
    assert not alive(pids["cleaned"]) or site.orchestrator.binary.parent == site.folder
    site.daemons[-1].stop()
    assert not alive(pids["cleaned"])


def test_what_got_away_from_a_killed_daemons_candidate_is_ended(site: Site) -> None:
    live(site)
    site.commit("deaf", deaf=True, child=child(site.folder / "deaf"))
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
    pids = fugitives(site.folder / "deaf")
    kill_daemon(site)
    client.wait()

    site.start()

    assert not alive(pids["daemonised"])
    assert site.serving() == "good"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to leave a control group")
def test_what_left_its_control_group_is_ended_with_its_slot(site: Site) -> None:
    parent = cgroup.usable_parent()
    if parent is None:
        pytest.skip("no control group can be made here")

    def child(name: str) -> list[str]:
        (site.folder / name).mkdir()
        return [sys.executable, "-c", MOVED, str(site.folder / name), str(parent / "cgroup.procs")]

    site.start(drain_timeout_ms=600)
    site.commit("v1", child=child("one"))
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    first = fugitives(site.folder / "one")
    assert not {line for pid in first.values() for line in of_a_group(pid)}
    site.commit("v2", child=child("two"))

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    second = fugitives(site.folder / "two")

    assert not [name for name, pid in first.items() if alive(pid)]
    assert all(map(alive, second.values()))
    assert site.daemons[-1].stop() == 0
    assert not [name for name, pid in second.items() if alive(pid)]


def of_a_group(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return [line for line in lines if cgroup.GROUP_PREFIX in line]


def test_orphans_do_not_stay_as_zombies(either: Site) -> None:
    site = either
    orphan = "(true & echo $! > orphan.tmp; mv orphan.tmp orphan)"
    site.start()
    site.commit("v1", child=["/bin/sh", "-c", orphan])
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    path = site.data / "slot-a" / "orphan"
    wait_until("the orphan began", path.exists)

    wait_until("it is reaped", lambda: not Path(f"/proc/{path.read_text().strip()}").exists())


def test_port_held_by_another_program_is_reported_with_its_pid(site: Site) -> None:
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(site.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until("it listens", lambda: _listens(site.port))
        daemon = site.launch()
        assert daemon.process.wait(20) != 0
        refused = daemon.log.read_text()
    finally:
        other.kill()
        other.wait()

    assert f"pid {other.pid}" in refused
    assert "http.server" in refused


def _listens(port: int) -> bool:
    return f":{port:04X} " in Path("/proc/net/tcp").read_text()
