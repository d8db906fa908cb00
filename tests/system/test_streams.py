"""The daemon's standard streams: closed, full, or gone."""

import os
import pty
import subprocess

import pytest

from tests.processes import children_of
from tests.world import Site


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_start_with_streams_that_are_closed(site: Site, closed: str) -> None:
    through(site, closed)
    daemon = site.start()

    for pid in (daemon.process.pid, *children_of(daemon.process.pid, "slot_machine.proxy")):
        standard = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
        assert set(standard) <= {"/dev/null", str(daemon.log)}


def through(site: Site, redirection: str) -> None:
    site.prefix = ("/bin/bash", "-c", f'exec "$@" {redirection}', "bash")


@pytest.mark.parametrize("lost", ["2>/dev/full", "2> >(:)"], ids=["full", "pipe"])
def test_warning_that_cannot_be_written_ends_nothing(site: Site, lost: str) -> None:
    through(site, lost)

    lives_on(site)


def test_terminal_that_is_gone_ends_nothing(site: Site) -> None:
    terminal, theirs = pty.openpty()
    through(site, f"2>{os.ttyname(theirs)}")
    site.start(helth_endpoint="/")
    os.close(theirs)
    os.close(terminal)

    lives_on(site)


def lives_on(site: Site) -> None:
    if not site.daemons:
        site.start(helth_endpoint="/")
    for version in ("one", "two"):
        site.commit(version)
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
        assert site.run("reload").returncode == 0
        assert site.serving() == version
    assert site.daemons[-1].stop() == 0


def test_deploy_whose_progress_cannot_be_written(site: Site) -> None:
    site.start()
    commit = site.commit("v1")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [site.orchestrator.binary, "deploy"],
            cwd=site.repo,
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            check=False,
        )

    assert (done.returncode, done.stdout) == (0, f"deployed {commit} to slot a\n")
