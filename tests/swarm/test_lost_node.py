"""A node that nobody reaches: what its visitors, and those of the other node, notice."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.swarm.lab import Lab
from tests.swarm.load import Failure
from tests.swarm.node import Node
from tests.swarm.shop import Shop, install_edge, remove

HOST = "shop.test"
COPIES = 4
SEEN_S = 3.0
"""After so long no copy of a lost node is asked any more, or another one is asked in its place."""
IN_FLIGHT = 20
"""Requests that a lost copy had when it was lost, at most: nobody can answer these."""


@pytest.fixture
def shop(lab: Lab, tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path / "shop", "store", replicas=COPIES)
    shop.commit("v1")
    install_edge(lab, shop)
    shop.run("deploy")
    yield shop
    remove(lab, shop)


def copies(lab: Lab) -> Counter[str]:
    """By node, how many copies run."""
    shown = (
        "service",
        "ps",
        "store_web",
        "--filter",
        "desired-state=running",
        "--format",
        "{{.Node}} {{.CurrentState}}",
    )
    lines = [line.split() for line in lab.manager.docker(*shown).splitlines()]
    return Counter(node for node, state, *_ in lines if state == "Running")


def edge(lab: Lab, node: Node) -> set[str]:
    """The task of its edge, if that runs. A node that comes back gets a new one: the swarm gave up the earlier one."""
    shown = (
        "service",
        "ps",
        "slot-machine-edge_traefik",
        "--filter",
        f"node={node.name}",
        "--format",
        "{{.ID}} {{.CurrentState}}",
    )
    lines = [line.split() for line in lab.manager.docker(*shown).splitlines()]
    return {task for task, state, *_ in lines if state == "Running"}


def test_a_node_is_cut_off_and_comes_back(lab: Lab, shop: Shop) -> None:
    here, far = lab.nodes
    with lab.load(HOST) as load:
        load.more("v1")
        before = edge(lab, far)
        began_s = time.monotonic()
        far.cut()
        try:
            cut_s = load.since_s()
            lab.until("the other node has all copies", lambda: copies(lab) == {here.name: COPIES})
            replaced_s = time.monotonic() - began_s
            status = json.loads(shop.attempt("status", "--json").stdout)
            load.more("v1")
        finally:
            mended_s = load.since_s()
            far.mend()
        lab.until("the node is back", lambda: lab.states()[far.name] == "Ready")
        lab.until("it has an edge again", lambda: edge(lab, far) - before)
        back_s = load.since_s()
        load.more("v1", 2000)
    print(f"cut off for {mended_s - cut_s:.0f} s, replaced after {replaced_s:.0f} s", load.account(), sep="\n")
    assert len(status["copies"]) == COPIES
    unexplained: list[Failure] = []
    in_flight = 0
    for failure in load.failures:
        if cut_s - SEEN_S <= failure.at_s <= cut_s + SEEN_S and failure.address == here.address:
            in_flight += 1
        elif failure.address == here.address or not cut_s - 20 <= failure.at_s <= back_s + SEEN_S:
            unexplained.append(failure)
    assert not unexplained
    assert in_flight <= IN_FLIGHT
