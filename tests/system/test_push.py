"""`git push` to a repository that `init --push` has set up, over a local path."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.load import Load
from spec.orchestrator import environment
from spec.waiting import wait_until

from tests.processes import kill_daemon
from tests.pushing import Held, Pushed, interrupt
from tests.world import goes_on, installed


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[Pushed]:
    pushed = Pushed(installed(), tmp_path)
    yield pushed
    pushed.close()


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


def settled(pushed: Pushed, commit: str) -> None:
    """The branch is at what is live."""
    wait_until("the branch follows", lambda: pushed.tip() == commit)
    assert pushed.status()["live_commit"] == commit


def test_good_and_bad_pushes_under_load(pushed: Pushed) -> None:
    pushed.begin()
    first = pushed.version("first")
    assert "is live in slot a" in pushed.must_push()
    load = Load(pushed.port)
    with load.running():
        goes_on(load)
        second = pushed.version("second")
        said = pushed.must_push()
        assert "remote: setup" in said
        assert "remote: switch" in said
        goes_on(load)
        pushed.version("bad", {"health_timeout_ms": 500}, healthy=False)
        code, said = pushed.push()
        assert code == 1
        assert "[remote rejected] main -> main (health: " in said
        assert "main stays at what is live" in said
        assert "slot-machine deploy COMMIT" in said
        settled(pushed, second)
        goes_on(load)
        rolled_back = pushed.orchestrator.run("rollback", cwd=pushed.bare)
        assert rolled_back.returncode == 0
        assert pushed.tip() == first, "at once"
        assert "a push of main" in rolled_back.stderr
        goes_on(load)

    assert load.failures == []
    assert set(load.answers) == {"first", "second"}
    assert pushed.of_server("rev-parse", f"refs/slot-machine/tips/{second}") == second
    assert "rollback" in pushed.of_server("reflog", "main")


def test_a_second_set_up_changes_nothing(pushed: Pushed) -> None:
    first = pushed.set_up()
    assert first.stdout.startswith("git remote add production ")
    files = {path: path.read_bytes() for path in pushed.bare.rglob("*") if path.is_file()}
    again = pushed.set_up()
    assert again.stdout == first.stdout
    assert "nothing was changed" in again.stderr
    assert {path: path.read_bytes() for path in pushed.bare.rglob("*") if path.is_file()} == files


def test_only_git_calls_the_hook(pushed: Pushed) -> None:
    pushed.set_up()
    done = pushed.orchestrator.run(
        "receive", "--config", str(pushed.bare / "slot-machine.json"), "proc-receive", cwd=pushed.bare
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: this is git's hook, and not git calls it: ")


def test_without_a_daemon_a_push_is_rejected(pushed: Pushed) -> None:
    pushed.set_up()
    pushed.version("first")
    code, said = pushed.push()

    assert code == 1
    assert "cannot reach the slot-machine daemon" in said
    assert f"run `slot-machine start --config {pushed.bare}/slot-machine.json` first" in said
    assert "[remote rejected] main -> main (nothing was deployed)" in said
    assert pushed.tip() == ""


def test_the_first_branch_is_the_deployed_one_and_others_are_stored(pushed: Pushed) -> None:
    pushed.begin()
    first = pushed.version("first")
    pushed.git("branch", "dev")
    pushed.must_push("main:trunk")
    assert pushed.of_server("symbolic-ref", "HEAD") == "refs/heads/trunk"
    second = pushed.version("second")
    said = pushed.must_push("main:trunk", "main:dev", "dev:other")

    assert "dev: stored, not deployed; the deployed branch is trunk" in said
    assert [pushed.tip(name) for name in ("trunk", "dev", "other")] == [second, second, first]
    third = pushed.version("third")
    assert "dev: stored, not deployed" in pushed.must_push("main:dev")
    assert (pushed.serving(), pushed.tip("dev")) == ("second", third)
    code, said = pushed.push("--atomic", "main:trunk", "main:next")
    assert (code, "--atomic can't hold" in said) == (1, True)
    code, said = pushed.push("-o", "hold", "main:trunk")
    assert (code, "a push holds no version" in said, pushed.serving()) == (1, True, "second")
    code, said = pushed.push(":trunk")
    assert (code, "can't be deleted" in said) == (1, True)
    assert "dev: deleted, not deployed" in pushed.must_push(":dev")
    assert [pushed.tip(name) for name in ("trunk", "dev", "next")] == [second, "", ""]


def test_a_forced_push_and_one_that_is_denied(pushed: Pushed) -> None:
    pushed.begin()
    first = pushed.version("first")
    pushed.must_push()
    second = pushed.version("second")
    pushed.must_push()
    pushed.git("reset", "--quiet", "--hard", first)
    other = pushed.version("other")
    assert pushed.push()[0] == 1, "git's own client refuses it"
    pushed.must_push("--force", "main")
    settled(pushed, other)
    assert pushed.of_server("rev-parse", f"refs/slot-machine/tips/{second}") == second
    pushed.of_server("config", "receive.denyNonFastForwards", "true")
    attempts = len(pushed.history())
    code, said = pushed.push("--force", f"{second}:main")
    assert (code, "not a fast-forward" in said) == (1, True)
    assert (len(pushed.history()), pushed.tip(), pushed.serving()) == (attempts, other, "other")


def test_our_own_refs_can_t_be_pushed(pushed: Pushed) -> None:
    pushed.begin()
    first = pushed.version("first")
    pushed.must_push()
    pushed.version("second")
    code, said = pushed.push("main:refs/slot-machine/live")
    assert (code, "hidden ref" in said) == (1, True)
    assert pushed.of_server("rev-parse", "refs/slot-machine/live") == first
    assert "slot-machine/" not in pushed.git("ls-remote", "production")


def test_a_shallow_clone_that_lacks_commits_is_told_what_to_do(pushed: Pushed) -> None:
    pushed.begin()
    pushed.version("first")
    pushed.version("second")
    shallow = pushed.folder / "shallow"
    clone = ["git", "clone", "--quiet", "--depth", "1", f"file://{pushed.repo}", str(shallow)]
    subprocess.run(clone, env=environment(), check=True)
    push = ["git", "push", str(pushed.bare), "main"]
    done = subprocess.run(push, cwd=shallow, env=environment(), capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "fetch-depth: 0" in done.stderr
    assert "shallow update not allowed" in done.stderr
    assert (pushed.history(), pushed.tip()) == ([], "")


def test_a_push_during_a_deploy(pushed: Pushed, held: Held) -> None:
    pushed.begin()
    pushed.environment = {"SLOT_MACHINE_BY": "ada"}
    first = pushed.version("first", held.fields)
    pushing = pushed.pushing("main")
    wait_until("the setup runs", lambda: pushed.is_running("setup"))
    pushed.environment = {"SLOT_MACHINE_BY": "bob"}
    second = pushed.version("second", held.fields)
    code, said = pushed.push()
    assert code == 1
    assert f"another deploy runs (deploy of {first[:8]} by ada, stage setup, since " in said
    assert "slot-machine cancel" in said
    assert "git push -o wait" in said
    waiting = pushed.pushing("-o", "wait", "main:later")
    assert "later: stored, not deployed" in waiting.communicate()[0], "a branch that is stored waits for nobody"
    held.go()
    assert pushing.wait() == 0, pushing.communicate()[0]
    assert pushed.must_push("-o", "wait", "main")
    settled(pushed, second)
    assert [row["who"] for row in pushed.history()] == ["ada", "bob"]
    pushing.communicate()


def test_a_push_that_waits_for_its_turn(pushed: Pushed, held: Held) -> None:
    pushed.begin()
    pushed.must_push(f"{pushed.version('first')}:refs/heads/main")
    second = pushed.version("second", held.fields)
    pushed.must_push("main:stored")
    deploying = subprocess.Popen(
        [pushed.orchestrator.binary, "deploy", second], cwd=pushed.bare, env=environment(), stderr=subprocess.DEVNULL
    )
    wait_until("the setup runs", lambda: pushed.is_running("setup"))
    pushed.git("commit", "--quiet", "--amend", "--message", "third")
    pushing = pushed.pushing("-o", "wait", "main")
    assert pushing.stdout
    while "waiting until this has ended: deploy of" not in (line := pushing.stdout.readline()):
        assert line
    held.go()
    assert deploying.wait() == 0
    said = pushing.communicate()[0]
    assert pushing.returncode == 1
    assert f"main has moved since your git looked: it is at {second[:8]}" in said
    settled(pushed, second)


def test_ctrl_c_does_not_end_the_deploy(pushed: Pushed, held: Held) -> None:
    pushed.begin()
    commit = pushed.version("first", held.fields)
    pushing = pushed.pushing("main")
    wait_until("the setup runs", lambda: pushed.is_running("setup"))
    interrupt(pushing)
    pushing.communicate()
    assert pushing.returncode
    assert pushed.is_running("setup")
    held.go()
    settled(pushed, commit)
    assert "Everything up-to-date" in pushed.must_push()


def test_cancel_ends_the_deploy_of_a_push(pushed: Pushed, held: Held) -> None:
    pushed.begin()
    first = pushed.version("first")
    pushed.must_push()
    pushed.version("second", held.fields)
    pushing = pushed.pushing("main")
    wait_until("the setup runs", lambda: pushed.is_running("setup"))
    assert pushed.post("/cancel").status == 200
    assert "was cancelled" in pushing.communicate()[0]
    assert pushing.returncode == 1
    settled(pushed, first)


def test_a_daemon_that_is_killed_in_a_push(pushed: Pushed, held: Held) -> None:
    pushed.begin()
    first = pushed.version("first")
    pushed.must_push()
    second = pushed.version("second", held.fields)
    pushing = pushed.pushing("main")
    wait_until("the setup runs", lambda: pushed.is_running("setup"))
    kill_daemon(pushed)
    said = pushing.communicate()[0]
    assert pushing.returncode == 1
    assert "[remote rejected] main -> main (the daemon ended in the deploy)" in said
    assert "fetch: the branch is at what is live" in said
    pushed.begin()
    settled(pushed, first)
    held.go()
    pushed.must_push()
    settled(pushed, second)


def test_a_pushed_file_can_t_set_what_is_the_machine_s(pushed: Pushed) -> None:
    pushed.begin()
    pushed.version(
        "first", {"user": "nobody", "hooks": {"deploy_succeeded": f"touch {pushed.folder}/owned"}, "port": 1}
    )
    said = pushed.must_push()

    assert "user, hooks, port differ from the daemon's configuration, where such fields belong, so ignored" in (
        " ".join(said.split()).replace("port, user, hooks", "user, hooks, port")
    )
    assert not (pushed.folder / "owned").exists()


def test_a_commit_without_its_own_file(pushed: Pushed) -> None:
    pushed.begin()
    pushed.commit("first")
    code, said = pushed.push()

    assert code == 1
    assert "has no slot-machine.json" in said
    assert "slot-machine init" in said


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Pushed]:
    """The server's repository is an operator's working copy, on main, with an edit."""
    working = Pushed(installed(), tmp_path, bare="server")
    commit = working.version("first")
    clone = ["git", "clone", "--quiet", str(working.repo), str(working.bare)]
    subprocess.run(clone, env=environment(), check=True)
    (working.bare / ".git/info/exclude").write_text(".slot-machine\n")
    working.set_up()
    working.begin()
    assert working.post("/deploy", {"commit": commit}).status == 200
    yield working
    working.close()


def test_an_operator_s_working_tree_is_not_touched(working: Pushed) -> None:
    first = working.tip()
    (working.bare / "behaviour.json").write_text('{"version": "edited"}')
    before = working.of_server("status", "--porcelain"), working.of_server("ls-files", "--stage")
    second = working.version("second", {"port": working.port, "api_port": working.api_port})
    assert "is live in slot" in working.must_push()

    settled(working, second)
    assert working.serving() == "second"
    assert (working.of_server("status", "--porcelain"), working.of_server("ls-files", "--stage")) == before
    assert json.loads((working.bare / "behaviour.json").read_text()) == {"version": "edited"}
    assert working.of_server("rev-parse", "HEAD") == first
    third = working.version("third")
    working.must_push()
    settled(working, third)
    assert working.orchestrator.run("rollback", cwd=working.bare).returncode == 0
    assert (working.tip(), working.of_server("rev-parse", "HEAD")) == (second, first)


def test_commits_of_the_operator_stay_on_the_branch_until_another_one_is_live(working: Pushed) -> None:
    for args in (["config", "user.name", "a"], ["config", "user.email", "a@b"], ["commit", "-qam", "own"]):
        working.of_server(*args)
    own = working.tip()
    kill_daemon(working)
    working.begin()
    code, said = working.push(f"{working.version('second')}:refs/heads/main")

    assert (code, "fetch first" in said) == (1, True)
    assert working.tip() == own
