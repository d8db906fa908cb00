"""Whatever goes wrong when an app is started again or ended: the daemon lives, and says what happened."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.orchestrator import Orchestrator
from spec.waiting import wait_until

from tests.neighbours import deploying, neighbour, port_of
from tests.processes import alive, kill, no_more_files
from tests.users import PYTHON
from tests.world import Site, live, serves

NOBODY = "65534"
UNMOUNT = "grep -o ' /[^ ]* .* - cgroup2 ' /proc/self/mountinfo | cut -d' ' -f3 | xargs -r -n1 umount -l"
GIVEN_UP = "-kill,-sys_ptrace"
SETPRIV = f"setpriv --regid={NOBODY} --clear-groups --bounding-set={GIVEN_UP} --inh-caps={GIVEN_UP}"


@pytest.fixture(params=["", "hidepid=1", "hidepid=2"], ids=["proc", "hidepid=1", "hidepid=2"])
def unprivileged(request: pytest.FixtureRequest, site: Site) -> Iterator[Site]:
    """The daemon may not signal other users' processes, nor make control groups; with `hidepid` it can't see them."""
    mount = f"mount -t proc -o {request.param} proc /proc" if request.param else "true"
    run_without_cgroups(site, f"{mount} && exec {SETPRIV}")
    yield site
    site.close()
    for path in site.folder.glob("foreign-*"):
        subprocess.run(["kill", "-9", path.read_text().strip()], check=False, stderr=subprocess.DEVNULL)


def run_without_cgroups(site: Site, how: str = "exec") -> None:
    """The daemon gets mounts of its own; `how` begins the shell command that becomes it."""
    if os.geteuid() or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("needs root, unshare(1) and setpriv(1)")
    (site.folder / "mounts").write_text(f'{UNMOUNT}; {how} "$@"\n')
    binary = site.folder / "slot-machine"
    binary.write_text(f'#!/bin/sh\nexec unshare --mount sh {site.folder}/mounts {site.orchestrator.binary} "$@"\n')
    binary.chmod(0o755)
    site.orchestrator = Orchestrator(binary)


def foreign(site: Site, name: str) -> list[str]:
    """A child of the app's that belongs to another user and leaves its process group, not its session."""
    path = site.folder / f"foreign-{name}"
    program = (
        f"import os; os.setpgid(0, 0); open({str(path)!r}, 'w').write(str(os.getpid()));"
        f"os.execvp('setpriv', ['setpriv', '--reuid={NOBODY}', 'sleep', '600'])"
    )
    return [sys.executable, "-ISc", program]


def pid_of(site: Site, name: str) -> int:
    path = site.folder / f"foreign-{name}"
    wait_until(f"{name} began", lambda: path.exists() and path.read_text())
    pid = int(path.read_text())
    wait_until("it is another user's", lambda: os.stat(f"/proc/{pid}").st_uid == int(NOBODY))
    return pid


def test_process_of_another_user_fails_no_deploy_and_no_stop(unprivileged: Site) -> None:
    site = unprivileged
    site.start(drain_timeout_ms=1000)
    site.commit("v1", child=foreign(site, "one"))
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    one = pid_of(site, "one")
    site.commit("v2", child=foreign(site, "two"))

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert reply.status == 200, reply
    assert site.serving() == "v2"
    assert site.history()[-1]["result"] == "succeeded"
    two = pid_of(site, "two")
    daemon = site.daemons[-1]
    began_s = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began_s < 5
    log = daemon.log.read_text()
    assert "Traceback" not in log
    assert "trying again" not in log
    assert alive(one)
    assert alive(two)
    if "hidepid" not in (site.folder / "mounts").read_text():
        assert f"process {one} " in log
        assert f"process {two} " in log


def test_process_of_another_user_keeps_no_crashed_app_down(unprivileged: Site) -> None:
    site = unprivileged
    site.start(drain_timeout_ms=1000)
    site.commit("v1", child=foreign(site, "one"))
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    pid_of(site, "one")

    kill(int(site.get("/pid")[1]))

    wait_until("the app is back", lambda: site.status()["restarts"] == 1 and serves(site))
    assert site.daemons[-1].process.poll() is None


def test_setup_that_leaves_a_process_of_another_user_ends(unprivileged: Site) -> None:
    """Though that holds the pipe of the setup's output."""
    site = unprivileged
    left = f"setpriv --reuid={NOBODY} sleep 600 & echo $! > {site.folder}/foreign-left"
    site.start(setup_command=f"{left}; sleep 0.3")
    site.commit("v1")

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert alive(pid_of(site, "left"))


def test_app_that_became_another_user_is_named_and_left(unprivileged: Site) -> None:
    site = unprivileged
    become = f"echo $$ > ../../../foreign-$$; exec setpriv --reuid={NOBODY}"
    site.start(drain_timeout_ms=500, start_command=f"{become} {PYTHON} -IS - < app.py")
    site.commit("v1")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    first = int(site.get("/pid")[1])
    site.commit("v2")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert reply.status == 200, reply
    assert "cannot tell whether port" in str(reply.body["warnings"])
    assert site.serving() == "v2"
    assert alive(first)
    assert site.daemons[-1].stop() == 0
    log = site.daemons[-1].log.read_text()
    assert "Traceback" not in log
    assert "trying again" not in log
    assert f"process {first} " in log


def test_neighbour_whose_descriptors_cannot_be_read_is_told_by_its_user(unprivileged: Site) -> None:
    site = unprivileged
    live(site)
    commit = site.commit("slow to boot", deaf=True)

    with deploying(site) as reply, neighbour(wait_until("it boots", lambda: port_of(site, commit))):
        status, body = reply.result()

    assert (status, body["stage"]) == (500, "health"), body
    assert f"a process of uid {NOBODY} listens on" in str(body["warnings"])
    assert site.serving() == "good"


@pytest.mark.parametrize(
    ("text", "named"),
    [("A=1\nB=x\0y\n", "line 2"), ("A=1\n'B=C'=d\n", "line 2"), ("A=1\nB C\n", "line 2")],
    ids=["NUL", "name with =", "no name"],
)
@pytest.mark.parametrize("strategy", ["overlap", "replace"])
def test_bad_env_file_fails_the_deploy_before_anything_is_touched(
    site: Site, strategy: str, text: str, named: str
) -> None:
    env_file = site.repo / ".env"
    env_file.write_text("A=1\n")
    live(site, strategy=strategy, env_file=".env", setup_command="touch ../../set-up")
    pid = site.get("/pid")
    (site.repo / "set-up").unlink()
    env_file.write_text(text)
    site.commit("next")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert (reply.status, reply.body["stage"]) == (500, "resolve"), reply
    assert named in str(reply.body["error"])
    assert site.get("/pid") == pid
    assert not (site.repo / "set-up").exists()


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
def test_bad_env_file_fails_the_rollback_before_the_old_version_stops(site: Site, strategy: str) -> None:
    env_file = site.repo / ".env"
    env_file.write_text("A=1\n")
    live(site, strategy=strategy, env_file=".env")
    site.commit("next")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    pid = site.get("/pid")
    env_file.write_text("A=x\0y\n")

    reply = site.post("/rollback")

    assert reply.status == 500, reply
    assert "line 1: A " in str(reply.body["error"])
    assert site.get("/pid") == pid


@pytest.mark.parametrize("text", ["B=x\0y\n", "'B=C'=d\n"], ids=["NUL", "name with ="])
def test_bad_env_file_at_a_restart_is_tried_again(site: Site, text: str) -> None:
    env_file = site.repo / ".env"
    env_file.write_text("A=1\n")
    live(site, env_file=".env")
    env_file.write_text(text)
    kill(int(site.get("/pid")[1]))
    wait_until("a restart failed", lambda: "env_file" in str(site.status()["last_exit"]))

    env_file.write_text("A=2\n")

    wait_until("the app is back", lambda: serves(site))


def test_bad_env_file_at_the_daemons_start_is_tried_again(site: Site) -> None:
    env_file = site.repo / ".env"
    env_file.write_text("A=1\n")
    live(site, env_file=".env")
    site.daemons[-1].stop()
    env_file.write_text("A=x\0y\n")
    site.start()
    assert "env_file" in str(site.status()["last_attempt"])

    env_file.write_text("A=1\n")

    wait_until("the app is back", lambda: serves(site))
    assert site.serving() == "good"


def test_crash_while_the_daemon_can_open_no_file(site: Site) -> None:
    """So it can't see what the app left, either."""
    run_without_cgroups(site)
    live(site)
    app = int(site.get("/pid")[1])
    daemon = site.daemons[-1]
    with no_more_files(daemon.process.pid):
        kill(app)
        wait_until("a restart failed", lambda: "restart of" in daemon.log.read_text())

    wait_until("the app is back", lambda: serves(site))
    assert not Path(f"/proc/{app}").exists()


def test_names_that_the_shell_drops_are_named(site: Site) -> None:
    site.start(env_file=".env")
    (site.repo / ".env").write_text("spring.port=1\nFINE=2\na-b=3\n")
    site.commit("v1")

    done = site.run("deploy")

    kept = subprocess.run(["/bin/sh", "-c", "env"], env={"a.b": "1"}, capture_output=True, text=True, check=True).stdout
    assert done.returncode == 0
    assert ("spring.port, a-b" in done.stderr) == ("a.b" not in kept)
    assert "FINE" not in done.stderr
