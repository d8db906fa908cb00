"""What `logs` shows of real processes."""

import json
import os
import re
import signal
import subprocess

from spec.orchestrator import environment
from spec.waiting import wait_until

from tests.world import Site


def test_logs_of_a_version_that_crashed_and_of_its_successor(site: Site) -> None:
    daemon = site.start(setup_command="echo installing")
    site.commit("v1")
    site.run("deploy")
    wait_until("the time of the first line", lambda: "-- web of" in site.run("logs").stdout)
    os.kill(int(str(site.status()["pid"])), signal.SIGKILL)
    wait_until("the end of the app", lambda: "web ended: killed by SIGKILL" in site.run("logs").stdout)
    site.commit("v2")
    site.run("deploy")
    daemon.stop()

    printed = site.run("logs", "--setup").stdout
    found = [line.split(maxsplit=2)[1:] for line in printed.splitlines()]
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [ab](\.setup)? .*\n)+", printed)
    assert [slot for slot, text in found if text == "installing"] == ["a.setup", "b.setup"]
    marks = [(slot, text.split()[1]) for slot, text in found if text.startswith("-- web") or "is live" in text]
    assert [mark for mark in marks if mark[0] == "b"][-1] == ("b", "web")
    assert json.loads(site.run("logs", "--json", "--slot", "b", "-n", "1").stdout)["event"] == "exit"


def test_follower_notices_that_nobody_reads_though_the_app_is_quiet(site: Site) -> None:
    site.start()
    site.commit("v1")
    site.run("deploy")
    argv = (site.orchestrator.binary, "logs", "-f")
    with subprocess.Popen(argv, cwd=site.repo, env=environment(), stdout=subprocess.PIPE) as followed:
        try:
            assert followed.stdout
            assert any(b"is live" in line for line in followed.stdout)
            followed.stdout.close()
            wait_until("its end", lambda: followed.poll() == 1)
        finally:
            followed.kill()
