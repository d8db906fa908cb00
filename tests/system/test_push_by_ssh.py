"""`git push` and a few commands over ssh, with keys that `keys add` has added to a real sshd on loopback."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.load import Load
from spec.orchestrator import environment
from spec.waiting import wait_until

from tests.processes import alive
from tests.pushing import ME, SSHD, Held, Pushed, Relay, Sshd, closing_all
from tests.world import goes_on, installed

IDLE_CUT_S = 12.0
SILENT_S = 40

pytestmark = pytest.mark.skipif(not Path(SSHD).exists() or not shutil.which("ssh"), reason="there is no sshd here")


class Office:
    """A server with sshd, and Ada, whose key is for its app."""

    def __init__(self, folder: Path) -> None:
        self.pushed = Pushed(installed(), folder)
        self.pushed.begin()
        self.sshd = Sshd(folder / "ssh")
        self.ada = self.sshd.key("ada")
        self.keys("add", "ada", key=self.ada)
        self.reach(self.sshd.port)

    def keys(self, *args: str, key: "Path | None" = None) -> str:
        argv = [str(self.pushed.orchestrator.binary), "keys", *args, "--file", str(self.sshd.authorized_keys)]
        text = key.with_suffix(".pub").read_text() if key else ""
        done = subprocess.run(
            argv, cwd=self.pushed.bare, env=environment(), input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reach(self, port: int) -> None:
        url = f"ssh://{ME}@127.0.0.1{self.pushed.bare}"
        self.pushed.git("remote", "set-url", "production", url)
        self.pushed.environment = {
            "GIT_SSH_COMMAND": " ".join(self.sshd.command(self.ada, port)),
            "SLOT_MACHINE_BY": "eve",
        }

    def ssh(self, *asked: str) -> tuple[int, str, str]:
        done = self.sshd.run(self.ada, *asked, options="-o SendEnv=*")
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    with closing_all(office.pushed, office.sshd):
        yield office


@pytest.fixture
def held(tmp_path: Path) -> Held:
    return Held(tmp_path)


def test_a_key_pushes_under_load_and_its_name_is_in_the_history(office: Office) -> None:
    pushed = office.pushed
    pushed.version("first")
    assert "is live in slot a" in pushed.must_push()
    load = Load(pushed.port)
    with load.running():
        goes_on(load)
        second = pushed.version("second")
        pushed.must_push()
        goes_on(load)
        pushed.version("bad", {"health_timeout_ms": 500}, healthy=False)
        assert pushed.push()[0] == 1
        goes_on(load)
    assert load.failures == []
    assert pushed.tip() == second
    assert {row["who"] for row in pushed.history()} == {"ada"}


def test_a_key_may_run_a_few_commands_and_no_other(office: Office) -> None:
    pushed = office.pushed
    first = pushed.version("first")
    pushed.must_push()
    second = pushed.version("second")
    pushed.must_push()
    code, said, _ = office.ssh("slot-machine", "status", "--json")
    assert (code, json.loads(said)["live_commit"]) == (0, second)
    code, said, _ = office.ssh("slot-machine rollback -m 'wrong colours' -q")
    assert (code, said.split()[:3]) == (0, ["rolled", "back", "to"])
    assert pushed.tip() == first
    assert office.ssh("slot-machine", "deploy", second)[0] == 0
    assert [(row["who"], row["message"]) for row in pushed.history()][2:] == [("ada", "wrong colours"), ("ada", "")]
    assert office.ssh("slot-machine logs -n 5")[0] == 0
    code, said, _ = office.ssh(f"slot-machine deploy --json --stream --if-known --by=eve --ref=main -- {first}")
    assert (code, json.loads(said.splitlines()[-1])["commit"]) == (0, first)
    assert pushed.history()[-1]["who"] == "ada"
    for asked in (
        "id",
        "bash -i",
        "slot-machine restart",
        "slot-machine status; id",
        "git-upload-pack " + str(pushed.bare),
    ):
        code, said, error = office.ssh(asked)
        assert (code, said) == (1, ""), asked
        assert "this key may push, and run: slot-machine deploy" in error, asked
    code, said, error = office.ssh()
    assert (code, "nothing was asked for" in error) == (1, True)
    office.keys("remove", "ada")
    assert office.ssh("slot-machine", "status")[0] == 255


def test_a_key_may_not_push_elsewhere(office: Office) -> None:
    other = office.pushed.folder / "other.git"
    assert office.pushed.orchestrator.run("init", "--push", str(other), cwd=office.pushed.folder).returncode == 0
    office.pushed.version("first")
    office.pushed.git("remote", "set-url", "production", f"ssh://{ME}@127.0.0.1{other}")
    code, said = office.pushed.push()
    assert (code, "this key is for" in said) == (128, True)


def test_a_silent_stage_outlasts_an_idle_cut(office: Office) -> None:
    """Git itself sends something every 5 s."""
    relay = Relay(office.sshd.port, IDLE_CUT_S)
    with closing_all(relay):
        office.reach(relay.port)
        office.pushed.version("first", {"setup_command": f"sleep {SILENT_S}"})
        said = office.pushed.must_push()
        assert "is live in slot a" in said
        assert relay.idle_cuts == 0


def test_a_cut_connection_does_not_end_the_deploy(office: Office, held: Held) -> None:
    relay, pushed = Relay(office.sshd.port), office.pushed
    with closing_all(relay):
        office.reach(relay.port)
        commit = pushed.version("first", held.fields)
        pushing = pushed.pushing("main")
        wait_until("the setup runs", lambda: pushed.is_running("setup"))
        relay.cut()
        assert pushing.wait() != 0
        pushing.communicate()
        assert pushed.is_running("setup")
        held.go()
        wait_until("the branch follows", lambda: pushed.tip() == commit)
        assert pushed.status()["live_commit"] == commit


def test_a_push_that_waits_loses_its_turn_when_its_connection_is_cut(office: Office, held: Held) -> None:
    relay, pushed = Relay(office.sshd.port), office.pushed
    with closing_all(relay):
        first = pushed.version("first", held.fields)
        deploying = pushed.pushing("main")
        wait_until("the setup runs", lambda: pushed.is_running("setup"))
        office.reach(relay.port)
        pushed.version("second", held.fields)
        waiting = pushed.pushing("-o", "wait", "main")
        assert waiting.stdout
        while "waiting until this has ended" not in (line := waiting.stdout.readline()):
            assert line
        hooks = hooks_of(pushed)
        assert len(hooks) == 2
        relay.cut()
        waiting.communicate()
        wait_until("its hook has ended", lambda: len([pid for pid in hooks if alive(pid)]) == 1, 120)
        held.go()
        assert deploying.wait() == 0, deploying.communicate()[0]
        deploying.communicate()
        assert pushed.tip() == first
        assert len(pushed.history()) == 1


def hooks_of(pushed: Pushed) -> list[int]:
    """The pids of git's hooks for this repository."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
        except OSError:
            continue
        if b"receive" in words and str(pushed.bare / "slot-machine.json").encode() in words:
            found.append(int(entry.name))
    return found
