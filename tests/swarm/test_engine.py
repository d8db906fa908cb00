"""Deploys on two real engines: what succeeds, what is taken back, and what is left."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from slot_machine.engines.engine import Logs
from slot_machine.engines.release import Ended
from slot_machine.engines.swarm import names
from tests.swarm.by_flow import Shop
from tests.swarm.lab import REGISTRY, Lab, run

OLD_CLIENT = Path("/usr/bin/docker")


@pytest.fixture
def shop(lab: Lab) -> Iterator[Shop]:
    made = Shop(lab, "shop")
    yield made
    made.remove()
    run("docker", "node", "update", "--availability", "active", "node2")


@pytest.fixture(params=["newest", "20.10"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Which client of Docker is `docker`."""
    if request.param == "20.10":
        if not OLD_CLIENT.exists() or "version 20.10" not in run(str(OLD_CLIENT), "--version"):
            pytest.skip("there is no client 20.10")
        (tmp_path / "docker").symlink_to(OLD_CLIENT)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return str(request.param)


def test_a_deploy_a_bad_version_and_a_rollback(shop: Shop, client: str) -> None:
    assert client
    shop.version = {"release_command": "echo migrate with $KEY", "processes": {"mail": "exec sleep infinity"}}
    shop.values = {"KEY": "first 'value'\n$HOME"}
    assert shop.deploy("1")["success"]
    shop.values = {"KEY": "second value"}
    assert shop.deploy("2")["success"]
    assert shop.running() == ["2", "2"]
    assert shop.running("mail") == ["2"]
    before = {copy.id for copy in shop.engine.status().copies}
    shop.values = {"KEY": "third value"}
    for bad, words in (("exit", "exit code 1"), ("health", "health")):
        reply = shop.deploy("3", bad)
        assert (reply["success"], reply["stage"]) == (False, "health")
        assert words in cast(str, reply["error"])
        assert {copy.id for copy in shop.engine.status().copies} == before, "a healthy copy was replaced"
    shop.values = {"KEY": "second value"}
    assert shop.rollback()["success"]
    assert shop.running() == ["1", "1"]
    assert sum("first 'value'" in line for line in shop.engine.logs(Logs("web"))) >= 2
    kept = run("docker", "secret", "ls", "--filter", f"label={names.APP}=shop", "--format", "{{.Name}}").split()
    assert len(kept) == 2


def test_a_release_command_that_fails_changes_nothing(shop: Shop) -> None:
    assert shop.deploy("1")["success"]
    shop.version = {"release_command": "echo half; exit 7"}
    reply = shop.deploy("2")
    assert (reply["success"], reply["stage"]) == (False, "release")
    assert "exit code 7" in cast(str, reply["error"])
    assert shop.running() == ["1", "1"]
    assert run("docker", "service", "ls", "--format", "{{.Name}}").split() == ["shop_web"]


def test_a_first_deploy_that_fails_leaves_nothing(shop: Shop) -> None:
    assert not shop.deploy("1", "exit")["success"]
    assert shop.engine.live() is None
    assert run("docker", "service", "ls", "--quiet") == ""
    assert shop.deploy("2")["success"]


def test_workers_come_and_go(shop: Shop) -> None:
    shop.version = {"processes": {"mail": {"command": "exec sleep infinity", "count": 2}}}
    assert shop.deploy("1")["success"]
    assert shop.running("mail") == ["1", "1"]
    shop.version = {"processes": {"clock": {"command": "exec sleep infinity", "singleton": True}}}
    assert shop.deploy("2")["success"]
    assert (shop.running("mail"), shop.running("clock")) == ([], ["2"])
    shop.version = {"processes": {"clock": {"command": "exit 5", "singleton": True}}}
    reply = shop.deploy("3")
    assert "exit code 5" in cast(str, reply["error"])
    assert (shop.running(), shop.running("clock")) == (["2", "2"], ["2"])


def test_a_drained_node_gives_its_copies_away(shop: Shop) -> None:
    assert shop.deploy("1")["success"]
    run("docker", "node", "update", "--availability", "drain", "node2")
    shop.lab.until(
        "all run on node1", lambda: [copy.node for copy in shop.engine.status().copies if copy.healthy] == ["node1"] * 2
    )
    assert shop.deploy("2")["success"]
    # It never got this version, so it runs none of it, though it takes tasks again.
    run("docker", "node", "update", "--availability", "active", "node2")
    run("docker", "service", "scale", "--detach", "shop_web=4")
    shop.lab.until("there are four", lambda: len(shop.running()) == 4)
    assert {copy.node for copy in shop.engine.status().copies} == {"node1"}


def test_a_registry_needs_no_ssh(lab: Lab) -> None:
    shop = Shop(lab, "pulled", registry=f"{REGISTRY}/team", nodes={"node1": "nowhere", "node2": "nowhere"})
    try:
        assert shop.deploy("1")["success"]
        assert {copy.node for copy in shop.engine.status().copies} == {"node1", "node2"}
    finally:
        shop.remove()


def test_a_command_has_all_of_its_output_and_its_exit_code(shop: Shop, client: str) -> None:
    assert client
    shop.values = {"KEY": "a b"}
    assert shop.deploy("1")["success"]
    numbers = [str(number) for number in range(1, 20_001)]
    assert shop.inside("sh", "-c", "seq 20000; echo $KEY >&2; exit 3").split() == [*numbers, "3"]
    assert shop.inside("echo") == "\n0"
    assert run("docker", "service", "ls", "--format", "{{.Name}}").split() == ["shop_web"]


def test_a_maintenance_replaces_no_copy(shop: Shop) -> None:
    assert shop.deploy("1")["success"]
    before = {copy.id for copy in shop.engine.status().copies}
    shop.engine.maintain(on=True)
    assert {copy.id for copy in shop.engine.status().copies} == before
    assert shop.deploy("2")["success"]
    live = shop.engine.live()
    assert live is not None
    assert live.maintenance
    shop.engine.maintain(on=False)
    live = shop.engine.live()
    assert live is not None
    assert not live.maintenance


def test_data_stays_on_its_node(lab: Lab) -> None:
    shop = Shop(lab, "kept", replicas=1)
    shop.version = {"shared_dirs": ["data"], "release_command": "echo kept >> $SLOT_MACHINE_SHARED/file"}
    try:
        for version in "12":
            assert shop.deploy(version)["success"]
        assert shop.inside("cat", "/shared/file") == "kept\nkept\n0"
        assert {copy.node for copy in shop.engine.status().copies} == {"node2"}
        run("docker", "node", "update", "--availability", "drain", "node2")
        assert "node2" in cast(str, shop.deploy("3")["error"])
    finally:
        run("docker", "node", "update", "--availability", "active", "node2")
        shop.remove()


@pytest.mark.parametrize("stage", ["build", "release", "start", "health"])
def test_a_client_that_is_killed_leaves_a_swarm_that_goes_on(shop: Shop, stage: str) -> None:
    assert shop.deploy("1")["success"]
    shop.version = {"release_command": "sleep 1"}
    shop.make("2")
    fields = json.dumps([shop.fields, shop.version, "2"])
    process = subprocess.Popen([sys.executable, "-m", "tests.swarm.client", fields], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("stage") == stage:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    begun = shop.engine.releases()[0]
    assert begun.result == "running"
    assert "runs since" in cast(str, shop.deploy("3")["error"])
    shop.lab.until("the engine has finished", lambda: not shop.engine.status().updating, 120)
    assert set(shop.running()) in ({"1"}, {"2"})
    shop.engine.end(begun, Ended(result="cancelled", ended_at="2026-01-01T00:00:00Z"))
    assert shop.deploy("3")["success"]
    assert shop.running() == ["3", "3"]
