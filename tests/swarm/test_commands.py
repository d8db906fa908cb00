"""All commands on a swarm, as a user gives them, with each `docker` that this machine has."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.swarm.lab import REGISTRY, Lab
from tests.swarm.shop import Shop

CLIENTS = {"current": shutil.which("docker"), "debian": "/usr/bin/docker"}


@pytest.fixture(params=[("current", ""), ("debian", f"{REGISTRY}/team")], ids=["by ssh", "by a registry"])
def shop(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    client, registry = request.param
    if not Path(CLIENTS[client] or "").exists():
        pytest.skip(f"there is no {CLIENTS[client]}")
    shop = Shop(tmp_path / "shop", f"store-{client}", context="node1", registry=registry)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").symlink_to(CLIENTS[client] or "")
    shop.environment["PATH"] = f"{tmp_path / 'bin'}:{shop.environment['PATH']}"
    yield shop
    lab.remove_stack(shop.name)


def live(shop: Shop) -> "dict[str, object]":
    status: dict[str, object] = json.loads(shop.run("status", "--json"))
    return status


def test_a_version_from_its_deploy_to_its_rollback(shop: Shop) -> None:
    first = shop.commit("v1", release_command="echo migrated", env_file=".env")
    shop.run("engine", "check")
    (shop.folder / ".env").write_text("COLOUR=red\n")
    shop.run("deploy", "--message", "the first")
    assert live(shop)["live_commit"] == first
    assert "v1 listens" in shop.run("logs")
    assert shop.run("run", "--", "sh", "-c", "echo $COLOUR").strip() == "red"
    assert shop.attempt("run", "--", "sh", "-c", "exit 7").returncode == 7

    shop.run("env", "set", "COLOUR=blue")
    shop.run("restart")
    assert shop.run("run", "--", "sh", "-c", "echo $COLOUR").strip() == "blue"

    second = shop.commit("v2")
    shop.run("deploy")
    assert live(shop)["live_commit"] == second
    bad = shop.commit("v3", release_command="echo no; exit 4")
    done = shop.attempt("deploy")
    assert done.returncode == 1
    assert "release" in done.stderr
    assert live(shop)["live_commit"] == second
    shop.run("rollback")
    assert live(shop)["live_commit"] == first
    kinds = [(entry["kind"], entry["commit"]) for entry in json.loads(shop.run("history", "--json"))]
    assert kinds == [
        ("rollback", first),
        ("deploy", bad),
        ("deploy", second),
        ("restart", first),
        ("deploy", first),
    ]
