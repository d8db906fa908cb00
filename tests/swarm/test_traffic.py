"""What visitors notice of deploys on a swarm: 100 requests a second at the edges of both nodes, counted."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.swarm.lab import Lab
from tests.swarm.shop import Shop, install_edge, remove

DEPLOYS = 10
HOST = "shop.test"


@pytest.fixture(scope="module")
def shop(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Its v1 is live."""
    shop = Shop(Path(tmp_path_factory.mktemp("user")) / "shop")
    shop.commit("v1")
    install_edge(lab, shop)
    shop.run("deploy")
    yield shop
    remove(lab, shop)


def tasks(lab: Lab) -> list[str]:
    """The images of the tasks that run, each with its node."""
    shown = ("service", "ps", "shop_web", "--filter", "desired-state=running", "--format", "{{.Image}} {{.Node}}")
    return sorted(lab.manager.docker(*shown).splitlines())


def test_no_request_fails_in_ten_deploys(lab: Lab, shop: Shop) -> None:
    with lab.load(HOST) as load:
        load.more("v1")
        for number in range(2, DEPLOYS + 2):
            commit = shop.commit(f"v{number}")
            shop.run("deploy")
            assert [task.split()[0].rpartition(":")[2] for task in tasks(lab)] == [commit] * 2
            load.more(f"v{number}")
    print(load.account())
    assert not load.failures, load.account()
    assert set(load.answers) == {f"v{number}" for number in range(1, DEPLOYS + 2)}


@pytest.mark.parametrize("fault", ["sick", "exits"])
def test_a_bad_version_is_taken_back_by_itself(lab: Lab, shop: Shop, fault: str) -> None:
    shop.commit("good")
    shop.run("deploy")
    before = tasks(lab)
    shop.commit("bad", fault, health_timeout_ms=5000)
    with lab.load(HOST) as load:
        load.more("good")
        done = shop.attempt("deploy")
        assert done.returncode == 1, done.stdout + done.stderr
        load.more("good")
    print(done.stdout, done.stderr, load.account(), sep="\n")
    assert not load.failures, load.account()
    assert set(load.answers) == {"good"}
    assert {task.split()[0] for task in tasks(lab)} == {task.split()[0] for task in before}
    assert len(tasks(lab)) == len(before)


def test_no_request_fails_in_a_rollback(lab: Lab, shop: Shop) -> None:
    first = shop.commit("first")
    shop.run("deploy")
    shop.commit("second")
    shop.run("deploy")
    with lab.load(HOST) as load:
        load.more("second")
        shop.run("rollback")
        load.more("first")
    print(load.account())
    assert not load.failures, load.account()
    assert json.loads(shop.run("status", "--json"))["live_commit"] == first
