"""Every way in which a deploy fails: the live version serves on, and the error says what to do."""

import re
import subprocess
from pathlib import Path

import pytest
from spec.ports import free_port, is_free
from spec.waiting import wait_until

from tests.processes import alive
from tests.world import MODES, Site, fail_after, live, slow_git


@MODES
def test_app_that_exits_while_booting(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options)
    site.commit("bad", exit=3)

    error = str(fail_after(site, good, "health").body["error"])

    assert "exit code 3" in error
    assert "something is missing" in error


@MODES
def test_app_that_is_unhealthy(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options, health_timeout_ms=1500)
    site.commit("bad", healthy=False)

    assert "answered 500" in str(fail_after(site, good, "health").body["error"])


@MODES
def test_app_that_does_not_listen(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options, health_timeout_ms=1500)
    site.commit("bad", deaf=True)

    assert "does the app read $PORT?" in str(fail_after(site, good, "health").body["error"])


def test_app_with_our_own_port_written_into_it(site: Site) -> None:
    good = live(site)
    site.commit("bad", {".env.example": "SECRET_KEY=\n"}, ports=["FIXED"])
    (site.repo / "fixed.env").write_text(f"FIXED={site.port}\n")
    site.daemons.pop().stop()
    site.start(env_file="fixed.env")

    reply = fail_after(site, good, "health")

    error = str(reply.body["error"])
    assert "exit code 1" in error
    assert re.search(rf"slot-machine itself holds [\d and]*\b{site.port}\b", error)
    assert "the app must listen on $PORT, which is " in error
    assert "not set, but in .env.example: SECRET_KEY" in str(reply.body["hint"])


def test_app_that_listens_elsewhere(site: Site) -> None:
    fixed = free_port()
    site.start(health_timeout_ms=1500, env_file="fixed.env")
    (site.repo / "fixed.env").write_text(f"FIXED={fixed}\n")
    site.commit("bad", ports=["FIXED"])

    error = str(site.post("/deploy", {"commit": "HEAD"}).body["error"])

    assert f"the app listens on {fixed}, not on " in error


def test_app_that_does_not_listen_where_health_is_checked(site: Site) -> None:
    site.start(health_timeout_ms=1500, internal_port=site.port + 1)
    site.commit("bad", ports=["PORT"])

    error = str(site.post("/deploy", {"commit": "HEAD"}).body["error"])

    assert "internal_port is not the same as port; does the app listen on $INTERNAL_PORT as well?" in error


def test_failed_setup_names_its_last_lines(site: Site) -> None:
    good = live(site, setup_command="test ! -e broken || { echo no such package; exit 4; }")
    site.commit("bad", {"broken": ""})

    error = str(fail_after(site, good, "setup").body["error"])

    assert "exit code 4" in error
    assert "no such package" in error
    assert "no such package" in (site.data / "slot-b.log").read_text()


def test_setup_leaves_no_process_behind(site: Site) -> None:
    pid_file = site.folder / "pid"
    live(site, setup_command=f"sleep 600 & echo $! > {pid_file}")

    assert not alive(int(pid_file.read_text()))


def test_missing_env_file(site: Site) -> None:
    env_file = site.repo / "production.env"
    env_file.write_text("A=1\n")
    good = live(site, env_file="production.env", strategy="overlap")
    env_file.unlink()
    site.commit("bad")

    assert "production.env" in str(fail_after(site, good, "resolve").body["error"])


def test_checkout_that_git_refuses(site: Site) -> None:
    """A filter that fails is one thing that git itself stumbles over."""
    good = live(site)
    site.git("config", "filter.broken.clean", "cat")
    site.git("config", "filter.broken.smudge", "false")
    site.git("config", "filter.broken.required", "true")
    site.commit("bad", {".gitattributes": "data filter=broken\n", "data": "x\n"})

    assert "git" in str(fail_after(site, good, "checkout").body["error"])


@MODES
def test_failed_deploy_keeps_the_rollback_target(site: Site, options: tuple[str, ...]) -> None:
    site.start(*options)
    first = site.commit("first")
    site.post("/deploy", {"commit": first})
    second = site.commit("second")
    site.post("/deploy", {"commit": second})
    site.commit("bad", exit=1)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 500

    status = site.status()
    assert (status["live_commit"], status["previous_commit"]) == (second, first)
    assert status["previous_ready"] is True
    assert (site.data / "previous").resolve() == site.data / "tree-1"

    reply = site.post("/rollback").body
    assert (reply["success"], reply["slot"], reply["commit"]) == (True, "a", first)
    assert site.serving() == "first"
    status = site.status()
    assert (status["live_commit"], status["previous_commit"]) == (first, second)


def test_rollback_target_outlives_its_branch_and_a_clean_up(site: Site) -> None:
    site.start()
    site.git("checkout", "--quiet", "-b", "doomed")
    first = site.commit("first")
    site.post("/deploy", {"commit": first})
    site.git("checkout", "--quiet", "--orphan", "main")
    site.commit("second")
    site.post("/deploy", {"commit": "HEAD"})
    site.commit("bad", exit=1)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 500
    site.git("branch", "--quiet", "-D", "doomed")
    site.git("reflog", "expire", "--expire=now", "--all")
    site.git("gc", "--quiet", "--prune=now")

    assert site.post("/rollback").status == 200

    assert site.serving() == "first"


def test_commit_that_is_checked_out_outlives_a_clean_up_meanwhile(site: Site) -> None:
    """Nothing but the deploy holds it; the filter runs in the midst of the checkout."""
    site.start()
    for version in ("first", "second"):
        site.commit(version)
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    lonely = site.commit("lonely", {".gitattributes": "data filter=clean-up\n", "data": "x\n", "zzz": "z\n"})
    site.git("reset", "--quiet", "--hard", "HEAD~1")
    git = f"env -u GIT_DIR -u GIT_INDEX_FILE -u GIT_WORK_TREE git -C {site.repo}"
    clean_up = f"{git} reflog expire --expire=now --all && {git} gc --quiet --prune=now && cat"
    site.git("config", "filter.clean-up.smudge", clean_up)
    site.git("config", "filter.clean-up.required", "true")

    reply = site.post("/deploy", {"commit": lonely})

    assert reply.status == 200, reply
    assert site.serving() == "lonely"
    assert (site.data / "live" / "zzz").read_text() == "z\n"


def test_first_deploy_that_fails_leaves_nothing_live(site: Site) -> None:
    site.start()
    site.commit("bad", exit=1)

    assert site.post("/deploy", {"commit": "HEAD"}).status == 500

    status = site.status()
    assert (status["live_slot"], status["previous_slot"], status["healthy"]) == ("", "", False)
    assert site.get()[0] == 503
    site.commit("good")
    assert site.post("/deploy", {"commit": "HEAD"}).body["slot"] == "a"


@pytest.mark.parametrize(
    "commitish", ["nothing", "", "--all", "-h", "HEAD~1..HEAD", "^HEAD", "HEAD HEAD", "a\nb", "HEAD:app.py"]
)
def test_what_is_not_a_commit_is_refused(idle_site: Site, commitish: str) -> None:
    reply = idle_site.post("/deploy", {"commit": commitish})

    assert (reply.status, reply.body["success"]) == (422, False)
    assert idle_site.status()["live_slot"] == ""


def test_rollback_whose_app_fails(site: Site) -> None:
    site.start()
    site.commit("first")
    site.post("/deploy", {"commit": "HEAD"})
    good = site.commit("good")
    site.post("/deploy", {"commit": good})
    (site.data / "slot-a" / "ignored").touch()
    (site.data / "slot-a" / "crash-at-boot").touch()

    reply = site.post("/rollback")

    assert (reply.status, reply.body["stage"]) == (500, "health")
    assert site.serving() == "good"
    status = site.status()
    assert (status["live_commit"], status["healthy"]) == (good, True)
    assert status["previous_commit"] != good


def test_hand_edits_in_the_idle_slot_are_not_rolled_back_to(site: Site) -> None:
    site.start()
    first = site.commit("first")
    site.post("/deploy", {"commit": first})
    site.commit("second")
    site.post("/deploy", {"commit": "HEAD"})
    edited = site.data / "slot-a" / "behaviour.json"
    edited.write_text(edited.read_text().replace("first", "edited"))

    assert site.post("/rollback").status == 200

    assert site.serving() == "first"


def test_rollback_prepares_nothing_when_the_slot_is_untouched(site: Site) -> None:
    counter = site.folder / "setups"
    site.start(setup_command=f"echo x >> {counter}; echo changed >> tracked")
    site.commit("first", {"tracked": "text\n"})
    site.post("/deploy", {"commit": "HEAD"})
    site.commit("second")
    site.post("/deploy", {"commit": "HEAD"})

    assert site.post("/rollback").status == 200
    assert site.post("/rollback").status == 200

    assert site.serving() == "second"
    assert counter.read_text().count("x") == 2


def test_slot_that_was_deleted_is_made_again(site: Site) -> None:
    site.start()
    site.commit("first")
    site.post("/deploy", {"commit": "HEAD"})
    site.commit("second")
    site.post("/deploy", {"commit": "HEAD"})
    subprocess.run(["rm", "-rf", site.data / "slot-a"], check=True)

    assert site.post("/rollback").status == 200

    assert site.serving() == "first"


def test_no_proxy_port_that_a_stranger_holds(site: Site) -> None:
    stranger = subprocess.Popen(
        ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(site.port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until("the stranger listens", lambda: not is_free(site.port))
        site.start("--no-proxy")
        site.commit("good")

        reply = site.post("/deploy", {"commit": "HEAD"})

        assert (reply.status, reply.body["stage"]) == (500, "start")
        assert f"port {site.port} is in use" in str(reply.body["error"])
    finally:
        stranger.terminate()
        stranger.wait()


@MODES
def test_sigterm_in_a_running_deploy_abandons_it(site: Site, options: tuple[str, ...]) -> None:
    good = live(site, *options, health_timeout_ms=60_000)
    app_pid = int(site.get("/pid")[1])
    site.commit("slow", deaf=True)
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.PIPE, text=True)
    wait_until("the deploy waits for health", lambda: site.status()["running"] == "health")

    assert site.daemons[-1].stop() == 0

    _, error = client.communicate(timeout=10)
    assert client.returncode == 1, error
    assert not alive(app_pid)
    assert is_free(site.port)
    assert site.history()[-1]["result"] == "interrupted"
    site.start(*options)
    assert site.status()["live_commit"] == good
    assert site.serving() == "good"


def test_sigterm_in_the_setup_ends_it_with_all_that_it_started(site: Site) -> None:
    pid_file = site.folder / "pid"
    site.start(setup_command=f"sleep 600 & echo $! > {pid_file}; wait")
    site.commit("v1")
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
    wait_until("the setup runs", lambda: pid_file.exists() and pid_file.read_text().strip())

    assert site.daemons[-1].stop() == 0

    assert client.wait(10) == 1
    assert not alive(int(pid_file.read_text()))
    last = site.history()[-1]
    assert (last["result"], last["stage"]) == ("interrupted", "setup")


@MODES
def test_sigterm_while_a_rollback_looks_at_its_slot(site: Site, options: tuple[str, ...]) -> None:
    slow, asked = slow_git(site)
    live(site, *options)
    site.commit("next")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    app = int(site.get("/pid")[1])
    slow.touch()
    client = subprocess.Popen([site.orchestrator.binary, "rollback"], cwd=site.repo, stderr=subprocess.DEVNULL)
    wait_until("git is asked", asked.exists)

    assert site.daemons[-1].stop() == 0

    assert client.wait(10) == 1
    assert not alive(app)
    assert "Traceback" not in site.daemons[-1].log.read_text()
    assert (site.history()[-1]["kind"], site.history()[-1]["result"]) == ("rollback", "interrupted")


def test_sigterm_while_a_start_looks_at_its_slot(site: Site) -> None:
    slow, asked = slow_git(site)
    live(site)
    site.daemons[-1].stop()
    slow.touch()
    daemon = site.launch()
    wait_until("git is asked", asked.exists)

    assert daemon.stop() == 0

    assert "Traceback" not in daemon.log.read_text()
    assert (site.history()[-1]["kind"], site.history()[-1]["result"]) == ("recovery", "interrupted")


def test_database_that_cannot_be_written_fails_the_deploy(site: Site) -> None:
    good = live(site)
    locker = subprocess.Popen(
        ["python3", "-c", LOCKER, str(site.data / "state.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert locker.stdout
    assert locker.stdout.readline() == "locked\n"
    site.commit("next")

    reply = site.post("/deploy", {"commit": "HEAD"})
    locker.communicate()

    assert (reply.status, reply.body["success"]) == (500, False)
    assert site.status()["live_commit"] == good
    assert site.serving() == "good"
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200


LOCKER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_children_of_the_app_end_with_it(site: Site) -> None:
    """Whatever the app started goes with it, as far as it stayed in its session."""
    pid_file = Path(site.folder, "child")
    site.start()
    site.commit("v1", child=["sh", "-c", f"echo $$ > {pid_file}; exec sleep 600"])
    site.post("/deploy", {"commit": "HEAD"})
    child = wait_until("the child wrote its pid", lambda: pid_file.exists() and pid_file.read_text().strip())
    site.commit("v2")

    site.post("/deploy", {"commit": "HEAD"})

    assert not alive(int(child))
