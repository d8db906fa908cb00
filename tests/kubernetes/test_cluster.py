"""Deploys to a real cluster, with visitors inside of it: `make test-kubernetes`."""

import json
from collections.abc import Iterator

import pytest

from tests.kubernetes import cluster
from tests.kubernetes.cluster import REPLICAS, Shop

WHY_NOT = cluster.missing()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """With a version that is live."""
    with cluster.shop(tmp_path_factory.mktemp("cluster")) as made:
        made.commit("one")
        done = made.run("deploy", "--json")
        assert done.code == 0, done.err + done.out
        yield made


def failures(counts: dict[str, int]) -> dict[str, int]:
    return {word: count for word, count in counts.items() if word.startswith("failed")}


def test_check_finds_nothing_fatal(shop: Shop) -> None:
    assert shop.run("engine", "check").code == 0


def test_deploy_under_load_fails_no_request(shop: Shop) -> None:
    commit = shop.commit("two")
    with shop.visited(60) as counts:
        done = shop.run("deploy", "--json")
    assert done.code == 0, done.err + done.out
    assert failures(counts) == {}
    assert counts["two"] > 0
    assert shop.status()["commit"] == commit


def test_bad_version_is_taken_back_and_fails_no_request(shop: Shop) -> None:
    before = shop.status()["commit"]
    shop.commit("bad", crashes=True)
    with shop.visited(60) as counts:
        done = shop.run("deploy", "--json")
    assert done.code == 1
    assert "this version is bad" in json.loads(done.out)["error"]
    assert failures(counts) == {}
    assert "bad" not in counts
    status = shop.status()
    assert (status["commit"], status["healthy"]) == (before, True)


def test_rollback_under_load_fails_no_request(shop: Shop) -> None:
    shop.commit("three")
    assert shop.run("deploy").code == 0
    with shop.visited(60) as counts:
        assert shop.run("rollback").code == 0
    assert failures(counts) == {}
    assert counts["three"] > 0
    assert shop.run("history").code == 0


def test_drain_of_a_node_fails_no_request(shop: Shop) -> None:
    """The budget lets one copy go at a time, and never blocks the drain."""
    nodes = shop.kubectl(
        "get", "pods", "-l", "slot-machine.dev/process=web", "-o", "jsonpath={.items[*].spec.nodeName}"
    )
    node = nodes.split()[0]
    every = json.loads(shop.kubectl("get", "nodes", "-o", "json"))["items"]
    if len(every) < 2:
        pytest.skip("the cluster has one node, so copies of a drained one have no place")
    with shop.visited(90) as counts:
        try:
            chosen = ("--pod-selector=slot-machine.dev/app=shop", "--ignore-daemonsets", "--delete-emptydir-data")
            shop.kubectl("drain", node, *chosen, "--timeout=120s")
        finally:
            shop.kubectl("uncordon", node)
    assert failures(counts) == {}


def test_commands_act_on_the_cluster(shop: Shop) -> None:
    done = shop.run("run", "--", "sh", "-c", "echo here; exit 7")
    assert (done.code, done.out) == (7, "here\n")
    assert shop.run("restart").code == 0
    assert len(shop.kubectl("get", "pods", "-l", "slot-machine.dev/process=web", "-o", "name").split()) >= REPLICAS
    assert shop.run("maintenance", "on").code == 0
    assert shop.kubectl("get", "endpoints", "shop", "-o", "jsonpath={.subsets}") == ""
    assert shop.run("maintenance", "off").code == 0
