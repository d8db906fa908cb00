"""What `tests/swarm` brings up ends with it, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.processes import alive
from tests.swarm import apart

GROUP = '"$0/$SLOT_MACHINE_LAB_CGROUP"'
GROUPED = f"mkdir {GROUP}; sleep 1000 & echo $! > {GROUP}/cgroup.procs; wait"


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left(sent: signal.Signals) -> None:
    if words := apart.obstacle() or apart.no_image():
        pytest.skip(words)
    parent = apart.CGROUPS / "cpu" if (apart.CGROUPS / "cpu").exists() else apart.CGROUPS
    argv = [sys.executable, "-m", "tests.swarm.apart", "sh", "-c", GROUPED, str(parent)]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2]) as outer:
        group = parent / f"{apart.PREFIX}{outer.pid}"
        procs = group / "cgroup.procs"
        pid = int(wait_until("a process runs apart", lambda: procs.exists() and procs.read_text()))
        assert pid != os.getpid()
        os.kill(outer.pid, sent)
    wait_until("it has ended", lambda: not alive(pid))
    assert not apart.sweep()
    assert not group.exists()
