"""Three apps live on one machine for a month. Each day, their owner does something with one of them.

All apps have visitors on most days, and none of their requests fails.
"""

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo.load import Load
from spec.waiting import wait_until

from slot_machine import __version__
from tests.listener import Listener
from tests.month import Machine
from tests.processes import kill
from tests.world import serves

NEXT = "99.0.0"
WIDE = "漢字 " * 40 + "\u202e\x1b[31mred"
FILES = {
    ".gitignore": ".slot-machine\nslot-machine.json\napp.env\ntold\n",
    "Procfile": f"web: {shlex.quote(sys.executable)} -IS app.py\n",
}
SECRET = "a-value-that-nobody-sees"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listener:
        yield listener


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    machine = Machine(tmp_path, monkeypatch)
    yield machine
    machine.close()


def test_three_apps_for_a_month(machine: Machine, listener: Listener) -> None:
    first_deploys(machine, listener)
    for day in (names, env_change, failed_deploy, restart):
        with machine.visited():
            day(machine)
    with machine.visited(failing=(machine.shop,)) as loads:
        crash_at_night(machine, listener, loads[machine.shop])
    for day in (rollbacks, upgrade):
        with machine.visited():
            day(machine)
    with machine.visited(failing=(machine.staging, machine.blog)):
        maintenance(machine)
    reboot(machine)
    for tenant in machine.tenants:
        tenant.look_around()


def first_deploys(machine: Machine, listener: Listener) -> None:
    """Both checkouts have the same folder name, the same name and the same api_port in their files."""
    shop, staging, blog = machine.tenants
    assert json.loads(shop.do("list", "--json")) == []
    shop.commit("one", FILES)
    staging.pull(shop)
    blog.commit(WIDE, FILES)
    (shop.repo / "app.env").write_text(f"# ours\nOPS=http://{listener.address}/secret-path\nCOLOUR=red\n")
    settings: list[dict[str, object]] = [
        {"name": "repo", "env_file": "app.env", "notify": ["$OPS"], "hooks": {"crashed": "cat >> told"}},
        {"name": "repo", "api_port": shop.api_port, "health_endpoint": "/healthz", "health_interval_ms": 100},
        {"name": "blog"},
    ]
    for tenant, proposed, own in zip(machine.tenants, ("repo", "repo-2", "repo-2"), settings, strict=True):
        assert tenant.settle(own) == proposed
        tenant.do("status", code=1)
        tenant.start(*(["--api-port", str(tenant.api_port)] if tenant is staging else []))
        assert "nothing" in tenant.do("status", code=3)
        commit = tenant.git("rev-parse", "HEAD")
        assert tenant.do("deploy") == f"deployed {commit} to slot a\n"
        assert commit[:8] in tenant.do("status")


def names(machine: Machine) -> None:
    """A name that two apps have does nothing; a folder names one of them, from anywhere."""
    shop, staging, blog = machine.tenants
    listed = [(row["name"], row["port"]) for row in json.loads(blog.do("list", "--json"))]
    assert listed == [("blog", blog.port), ("repo", shop.port), ("repo", staging.port)]
    for command in ("deploy", "restart", "rollback", "status"):
        blog.do(command, "-a", "repo", code=1)
    assert [tenant.kinds() for tenant in machine.tenants] == [["deploy"]] * 3
    assert f"port {staging.port}" in blog.do("status", "-a", str(staging.data))
    assert staging.told("status")["port"] == staging.port
    checks = json.loads(staging.run("doctor", "--json").stdout)["checks"]
    assert "wrong" not in [found["level"] for found in checks if found["check"] in ("daemon", "ports")]
    assert "did you mean `slot-machine deploy`" in staging.see("deplpy", code=2)


def env_change(machine: Machine) -> None:
    shop, staging, _ = machine.tenants
    pid = shop.app_pid()

    assert shop.do("env", "set", "COLOUR=blue", f"API_TOKEN={SECRET}") == "set COLOUR, API_TOKEN; restarted\n"

    assert shop.kinds() == ["deploy", "restart"]
    assert shop.app_pid() != pid
    assert (shop.variable("COLOUR"), shop.variable("API_TOKEN")) == ("blue", SECRET)
    assert staging.variable("COLOUR") is None
    assert "no env_file" in staging.see("env", "set", "COLOUR=green", code=1)
    assert shop.do("env", "get", "COLOUR", "--show") == "blue\n"
    assert (shop.repo / "app.env").read_text().startswith("# ours\n")
    shown = shop.do("env", "list") + shop.do("history", "--json") + shop.do("show") + shop.do("status", "--json")
    assert "API_TOKEN" in shown
    assert SECRET not in shown
    ran = shop.run("run", "--", "sh", "-c", 'printf "%s" "$COLOUR $API_TOKEN"; exit 7')
    assert (ran.returncode, ran.stdout) == (7, f"blue {SECRET}")


def failed_deploy(machine: Machine) -> None:
    """It is tried in staging first, and mended before it gets to production."""
    shop, staging, _ = machine.tenants
    shop.commit("bad", exit=3)
    staging.pull(shop)
    staging.do("deploy", "--by", "ada", "-m", "the cart", code=1)
    assert staging.told("deploy", code=1)["stage"] == "health"
    staging.do("deploy", "main", "other", code=2)
    assert (staging.serving(), shop.serving()) == ("one", "one")
    staging.do("status")
    shown = staging.do("show", "2")
    assert all(text in shown for text in ("failed", "ada", "the cart", "exit code 3")), shown
    assert "something is missing" in staging.do("logs", "--attempt", "2")

    two = shop.commit("two")
    staging.pull(shop)
    staging.do("deploy", "main", "--by", "ada", "-m", "the cart again")
    assert (staging.serving(), shop.serving()) == ("two", "one")
    assert shop.do("deploy", two) == f"deployed {two} to slot b\n"
    assert shop.serving() == "two"
    last = staging.told("show")
    assert (last["kind"], last["result"], last["commit"], last["trigger"]) == ("deploy", "succeeded", two, "cli")
    assert [last[name] for name in ("who", "message", "ref", "subject")] == ["ada", "the cart again", "main", "two"]


def restart(machine: Machine) -> None:
    blog = machine.blog
    pid, before = blog.app_pid(), blog.told("status")

    assert "\x1b" not in blog.see("restart", "-m", "a new certificate", NO_COLOR="1")
    assert "a new certificate" in blog.do("show")
    blog.see("restart")

    after = blog.told("status")
    assert blog.app_pid() != pid
    assert blog.serving() == WIDE
    assert blog.kinds() == ["deploy", "restart", "restart"]
    for name in ("live_slot", "live_commit", "previous_commit", "last_deploy_time", "restarts"):
        assert after[name] == before[name]


def crash_at_night(machine: Machine, listener: Listener, load: Load) -> None:
    """A hook and an address are told, once; the app comes back by itself."""
    shop, staging, blog = machine.tenants
    listener.got.clear()
    kill(shop.app_pid())

    def told() -> list[dict[str, object]]:
        return [json.loads(body) for body in listener.got]

    wait_until("the address is told of both", lambda: len(told()) == 2, 30)
    wait_until("the app is back", lambda: serves(shop))
    assert [notice["event"] for notice in told()] == ["crashed", "recovered"]
    assert {notice["app"] for notice in told()} == {"repo"}
    by_hook = json.loads((shop.repo / "told").read_text())
    assert by_hook["id"] == told()[0]["id"]
    assert "SIGKILL" in by_hook["error"]
    assert {notice["subject"] for notice in told()} == {"two"}
    crash = shop.told("show", str(by_hook["attempt"]))
    away_s = crash["away_s"]
    assert isinstance(away_s, float)
    assert (crash["kind"], crash["commit"], 0 < away_s < 30) == ("crash", shop.git("rev-parse", "main"), True)
    assert "crashed once" in shop.do("status")
    assert "crash" in shop.do("history")
    assert "killed by SIGKILL" in shop.do("logs")
    assert all(": 50" in failure or "Remote" in failure for failure in load.failures), load.failures
    assert [tenant.told("status")["restarts"] for tenant in (staging, blog)] == [0, 0]
    assert "crash" not in staging.kinds() + blog.kinds()


def rollbacks(machine: Machine) -> None:
    shop, staging, _ = machine.tenants
    one, two = shop.git("rev-parse", "main~2"), shop.git("rev-parse", "main")
    three = shop.commit("three")
    shop.see("deploy", "-m", "too early")
    pids = staging.app_pid()

    for words, commit, version in (
        (("1",), one, "one"),
        ((two[:10], "--by", "eve"), two, "two"),
        ((), one, "one"),
        ((three,), three, "three"),
    ):
        assert shop.do("rollback", *words).startswith(f"rolled back to {commit}"), words
        assert shop.serving() == version
        assert shop.told("status")["live_commit"] == commit
    assert [row["who"] for row in shop.history()][-3] == "eve"
    refusal = staging.told("rollback", "2", code=1)
    assert one[:8] in str(refusal["hint"]), "those that were live"
    shop.do("rollback", "--nothing", code=2)
    assert (staging.app_pid(), staging.serving()) == (pids, "two")


def upgrade(machine: Machine) -> None:
    """Another version of slot-machine is installed: the daemons go on with it, and no app notices."""
    blog = machine.blog
    daemons = [row["daemon_pid"] for row in json.loads(blog.do("list", "--json"))]
    apps = [tenant.app_pid() for tenant in machine.tenants]
    machine.install(NEXT)

    assert NEXT in blog.do("version")
    assert f"{__version__}*" in blog.do("list")
    assert [row["older"] for row in json.loads(blog.do("list", "--json"))] == [True] * 3
    assert f"it runs version {__version__}" in blog.run("doctor").stdout
    blog.do("restart")
    apps[2] = blog.app_pid()
    assert blog.do("reload", "--all").splitlines() == [
        f"{name}: reloaded, version {NEXT}" for name in ("blog", "repo", "repo")
    ]

    assert f"{__version__}*" not in blog.do("list")
    assert [row["daemon_pid"] for row in json.loads(blog.do("list", "--json"))] == daemons
    assert [tenant.app_pid() for tenant in machine.tenants] == apps
    assert {tenant.told("status")["version"] for tenant in machine.tenants} == {NEXT}
    assert blog.told("reload", "--all")["success"] is True
    blog.commit("four")
    blog.do("deploy")
    assert blog.serving() == "four"


def maintenance(machine: Machine) -> None:
    """It outlives deploys, restarts and reloads. The app's sickness after it is told by an exit code."""
    _, staging, blog = machine.tenants
    assert "because / is its health_endpoint" in blog.see("maintenance", "on"), "which init has guessed"
    blog.do("maintenance", "off")
    staging.do("maintenance", "on", "--message", "Back at 10:00.")
    for words in (("deploy", "--force"), ("restart",), ("reload",)):
        staging.do(*words)
        assert staging.get("/cart") == (503, "Back at 10:00.\n")
    assert "maintenance" in staging.do("status")
    staging.do("maintenance", "off")
    assert staging.serving() == "two"

    staging.get("/sicken")
    wait_until("it is found", lambda: staging.status()["healthy"] is False)
    assert "UNHEALTHY" in staging.do("status", code=3)
    assert staging.told("status", code=3)["healthy"] is False
    staging.do("restart")
    staging.do("status")
    staging.do("maintenance", "on")


def reboot(machine: Machine) -> None:
    shop, staging, blog = machine.tenants
    live = [tenant.told("status")["live_commit"] for tenant in machine.tenants]
    machine.lose_power()
    assert json.loads(blog.do("list", "--json")) == []
    for tenant in machine.tenants:
        tenant.do("status", code=1)
        tenant.do("deploy", code=1)
        tenant.do("history", code=1)

    for tenant in machine.tenants:
        tenant.start(*(["--api-port", str(tenant.api_port)] if tenant is staging else []))
        tenant.do("status")
    assert [tenant.told("status")["live_commit"] for tenant in machine.tenants] == live
    assert (shop.serving(), blog.serving(), staging.get("/cart")[0]) == ("three", "four", 503)
    staging.do("maintenance", "off")
    assert staging.serving() == "two"
    assert [tenant.kinds()[-1] for tenant in machine.tenants] == ["recovery"] * 3
    shop.do("rollback")
    assert shop.serving() == "one"
    assert "crashed once" in shop.do("status"), "counts outlive a reboot"
