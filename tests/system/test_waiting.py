"""Deploys that wait for another one, and those that would wait for themselves."""

import json
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from spec.orchestrator import environment
from spec.waiting import wait_until

from tests.world import Site

SETUP = "test ! -e setup.sh || sh setup.sh"


def client(site: Site, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [site.orchestrator.binary, *args],
        cwd=site.repo,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def busy(site: Site) -> Iterator[Path]:
    """A deploy in its setup, until the file is removed."""
    held = site.folder / "held"
    held.touch()
    site.commit("slow", {"setup.sh": f"while test -e {held}; do sleep 0.05; done"})
    with ThreadPoolExecutor() as pool:
        deploying = pool.submit(site.post, "/deploy", {"commit": "HEAD"})
        wait_until("it is in its setup", lambda: site.status()["running"] == "setup" or deploying.done())
        try:
            yield held
        finally:
            held.unlink(missing_ok=True)
        assert deploying.result().status == 200


def waits(running: "subprocess.Popen[str]") -> None:
    """Its first line says that it waits."""
    assert running.stdout
    line = json.loads(running.stdout.readline())
    assert (line["event"], line["stage"]) == ("started", "wait"), line
    assert "setup" in line["message"]


def test_latest_deploy_that_waits_comes_next(site: Site) -> None:
    site.start(setup_command=SETUP)
    with busy(site) as held:
        refused = site.run("deploy")
        assert (refused.returncode, "`deploy --wait`" in refused.stderr) == (1, True)
        commits, clients = [], []
        for version in ("one", "two", "gone"):
            commits.append(site.commit(version, {"setup.sh": "true"}))
            clients.append(client(site, "deploy", "--wait", "--json", "--stream"))
            waits(clients[-1])
        clients[2].send_signal(signal.SIGINT)
        assert clients[2].wait(20) == 130
        for overtaken in clients[:2]:
            last = overtaken.communicate(timeout=20)[0].splitlines()[-1]
            assert overtaken.returncode == 1
            assert "a newer deploy waits" in json.loads(last)["error"]
        clients[2].communicate()
        site.git("checkout", "--quiet", commits[1])
        last_one = client(site, "deploy", "--wait", "--json", "--stream")
        waits(last_one)
        with ThreadPoolExecutor() as pool:
            by_api = pool.submit(site.post, "/deploy", {"commit": commits[0], "wait": True})
            assert "a newer deploy waits" in last_one.communicate(timeout=20)[0]
            held.unlink()
            assert by_api.result().status == 200
    assert site.serving() == "one"
    assert [row["commit_hash"] for row in site.history()][1:] == [commits[0]]


def test_stop_of_the_daemon_ends_the_wait(site: Site) -> None:
    site.start(setup_command=SETUP)
    site.commit("one")
    held = site.folder / "held"
    held.touch()
    site.commit("slow", {"setup.sh": f"while test -e {held}; do sleep 0.05; done"})
    first = client(site, "deploy")
    wait_until("it is in its setup", lambda: site.status()["running"] == "setup")
    waiting = client(site, "deploy", "--wait", "--json", "--stream")
    waits(waiting)
    assert site.daemons[-1].stop() == 0
    assert "was not begun" in waiting.communicate(timeout=20)[0]
    assert waiting.returncode == 1
    first.communicate(timeout=20)
    held.unlink()


def test_deploy_from_inside_of_a_deploy_is_refused_at_once(site: Site) -> None:
    said, hook_said = site.folder / "said", site.folder / "hook-said"
    binary = site.orchestrator.binary
    hook = f"cd {site.repo} && {binary} deploy --wait >{hook_said} 2>&1"
    site.start(setup_command=SETUP, hooks={"deploy_failed": hook})
    for name in ("deploy --wait", "rollback", "restart"):
        setup = f"cd {site.repo} && {binary} {name} >{said} 2>&1; {binary} status >/dev/null; test $? -ne 1"
        site.commit(name, {"setup.sh": setup})
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
        attempt = site.history()[-1]["id"]
        assert f"this comes from a command or hook of attempt {attempt}" in said.read_text()
    site.commit("bad", {"setup.sh": "exit 3"})
    assert site.post("/deploy", {"commit": "HEAD"}).status == 500
    wait_until("the hook has run", lambda: hook_said.exists() and "hook of attempt 4" in hook_said.read_text())
    assert len(site.history()) == 4
