"""Two slots, three trees: what fails costs no rollback target, and slots of an earlier form are taken over."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.processes import kill_daemon
from tests.system.trees import Setups, as_before_trees, deploy, rolls_back_at_once
from tests.world import Site, metric

FAULTS = {
    "checkout": ({".gitattributes": "data filter=broken\n", "data": "x\n"}, {}),
    "setup": ({"setup.sh": "exit 1\n"}, {}),
    "health": ({}, {"exit": 1}),
}
SLOW = {
    "checkout": ({".gitattributes": "data filter=slow\n", "data": "x\n"}, {}),
    "setup": ({"setup.sh": "sleep 600\n"}, {}),
    "health": ({}, {"deaf": True}),
}


def trees(site: Site) -> list[str]:
    return sorted(path.name for path in site.data.glob("tree-*"))


@pytest.mark.parametrize("stage", FAULTS)
def test_failed_deploy_costs_no_rollback_target(site: Site, stage: str) -> None:
    for name, value in {"clean": "cat", "smudge": "false", "required": "true"}.items():
        site.git("config", f"filter.broken.{name}", value)
    setups = Setups(site)
    site.start(setup_command=setups.command)
    deploy(site, "first", "second")
    files, behaviour = FAULTS[stage]
    for _ in range(2):
        site.commit("bad", files, **behaviour)
        assert site.post("/deploy", {"commit": "HEAD"}).body["stage"] == stage

    rolls_back_at_once(site, setups, "first")
    rolls_back_at_once(site, setups, "second")


@pytest.mark.parametrize("stage", SLOW)
def test_killed_deploy_costs_no_rollback_target(site: Site, stage: str) -> None:
    smudged = site.folder / "smudged"
    site.git("config", "filter.slow.smudge", f"touch {smudged}; sleep 1; cat")
    setups = Setups(site)
    site.start(setup_command=setups.command, health_timeout_ms=60_000)
    deploy(site, "first", "second")
    files, behaviour = SLOW[stage]
    site.commit("slow", files, **behaviour)
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
    wait_until(f"the deploy is in {stage}", lambda: site.status()["running"] == stage)
    wait_until("it has begun", lambda: stage != "checkout" or smudged.exists())
    kill_daemon(site)
    client.wait(10)

    site.start()

    rolls_back_at_once(site, setups, "first")


def test_as_many_trees_as_are_needed(site: Site) -> None:
    site.start()
    for version, made in {"v1": 1, "v2": 2, "v3": 3, "v4": 3}.items():
        deploy(site, version)
        assert trees(site) == [f"tree-{number}" for number in range(1, made + 1)]
        live = site.data / f"slot-{site.status()['live_slot']}"
        assert (live.is_symlink(), (site.data / "live").resolve()) == (True, live.resolve())


def test_slots_are_links_that_change_at_the_switch(site: Site) -> None:
    site.start()
    deploy(site, "v1", "v2")
    before = (site.data / "slot-a").resolve()
    site.commit("bad", exit=1)
    site.post("/deploy", {"commit": "HEAD"})
    assert (site.data / "slot-a").resolve() == before

    deploy(site, "v3")

    assert ((site.data / "slot-a").resolve().name, site.status()["live_slot"]) == ("tree-3", "a")
    assert (site.data / "slot-b").resolve().name == "tree-2"


def test_setup_and_app_are_in_the_tree_itself(site: Site) -> None:
    site.start(setup_command="pwd > ignored")

    for version in ("v1", "v2", "v3", "v4"):
        deploy(site, version)
        folder = os.readlink(f"/proc/{site.status()['pid']}/cwd")
        assert Path(folder, "ignored").read_text().strip() == folder
        assert (site.data / "live").resolve() == Path(folder)


def test_without_a_spare_tree_the_previous_version_is_overwritten_and_that_is_said(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=setups.command, spare_tree=False)
    deploy(site, "first", "second")
    site.commit("bad", {"setup.sh": "exit 1\n"})

    failed = site.run("deploy")

    assert failed.returncode == 1
    assert "warning: spare_tree is false, so" in failed.stderr
    assert site.status()["previous_ready"] is False
    assert trees(site) == ["tree-1", "tree-2"]
    assert site.post("/rollback").status == 200
    assert (site.serving(), trees(site)) == ("first", ["tree-1", "tree-2"])


def test_redeployed_commit_keeps_the_older_rollback_target(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=setups.command)
    first, second = deploy(site, "first", "second")

    for slots in ("ab", "ba", "ab"):
        reply = site.post("/deploy", {"commit": second})
        assert (reply.status, reply.body["previous_commit"], reply.body["slot"]) == (200, second, slots[0])
        status = site.status()
        assert (status["live_slot"], status["previous_slot"]) == (slots[0], slots[1])
        assert (status["live_commit"], status["previous_commit"]) == (second, first)
        assert (site.data / "previous" / "behaviour.json").read_text() == '{"version": "first"}'
        assert (site.data / "previous").resolve() == (site.data / f"slot-{slots[1]}").resolve()

    rolls_back_at_once(site, setups, "first")
    assert site.status()["previous_commit"] == second
    rolls_back_at_once(site, setups, "second")


def test_redeployed_commit_without_a_spare_tree_shares_no_tree_with_its_rollback_target(site: Site) -> None:
    setups = Setups(site)
    site.start(setup_command=setups.command, spare_tree=False)
    first, second = deploy(site, "first", "second")

    for _ in range(2):
        assert site.post("/deploy", {"commit": second}).status == 200

    assert (site.data / "slot-a").resolve() != (site.data / "slot-b").resolve()
    assert (site.status()["previous_commit"], site.status()["previous_ready"]) == (first, False)
    assert site.post("/rollback").status == 200
    assert site.serving() == "first"
    rolls_back_at_once(site, setups, "second")


def test_redeployed_first_commit_has_nothing_to_roll_back_to(site: Site) -> None:
    site.start()
    (first,) = deploy(site, "first")

    assert site.post("/deploy", {"commit": first}).status == 200

    assert site.status()["previous_commit"] == ""
    assert site.post("/rollback").status == 409
    assert not (site.data / "slot-a").exists()


def test_tree_of_a_redeployed_commit_is_in_use_until_it_was_drained(site: Site) -> None:
    """The daemon is killed while the old run of the same commit finishes a request in its tree."""
    setups = Setups(site)
    site.start(setup_command=setups.command, drain_timeout_ms=20_000)
    deploy(site, "first", "second")
    with ThreadPoolExecutor() as pool:
        held = pool.submit(site.get, "/held")
        wait_until("the request is in flight", lambda: metric(site, 'requests_in_flight{slot="b"}') == 1)
        command = f"exec {site.orchestrator.binary} deploy --force"
        deploying = subprocess.Popen(command, shell=True, cwd=site.repo, stderr=subprocess.DEVNULL)
        wait_until("it drains", lambda: site.status()["running"] == "drain")
        kill_daemon(site)
        deploying.wait(10)
        (site.data / "release").touch()

        site.start()

        assert held.result() == (200, "second")
    assert site.serving() == "second"
    rolls_back_at_once(site, setups, "first")


def of_an_earlier_release(site: Site, setups: Setups) -> list[str]:
    site.start(setup_command=setups.command)
    commits = deploy(site, "first", "second")
    kill_daemon(site)
    as_before_trees(site)
    return commits


def test_slots_that_are_folders_become_links_under_the_running_app(site: Site) -> None:
    setups = Setups(site)
    first, second = of_an_earlier_release(site, setups)
    pid = site.get("/pid")
    absolute = site.data / "slot-b" / "behaviour.json"

    site.start()

    status = site.status()
    assert (site.get("/pid"), status["live_commit"], status["previous_commit"]) == (pid, second, first)
    assert (absolute.exists(), (site.data / "slot-b").resolve().name) == (True, "tree-2")
    assert (site.data / "state.db.schema-3").exists()
    worktrees = site.git("worktree", "list", "--porcelain")
    assert f"worktree {site.data}/tree-1" in worktrees
    assert f"worktree {site.data}/tree-2" in worktrees
    rolls_back_at_once(site, setups, "first")
    rolls_back_at_once(site, setups, "second")


def test_what_was_set_up_under_a_slots_name_is_set_up_anew_before_that_name_leads_elsewhere(site: Site) -> None:
    """As virtual environments contain paths: pip of the one would install into the other."""
    setups = Setups(site)
    _, second = of_an_earlier_release(site, setups)
    site.start()
    (site.data / "tree-1" / ".venv").mkdir()
    assert site.post("/deploy", {"commit": second}).body["slot"] == "a"
    assert site.status()["previous_ready"] is False
    assert site.post("/rollback").status == 200
    assert site.serving() == "first"

    deploy(site, "third", "fourth", "fifth")

    assert site.serving() == "fifth"
    assert not (site.data / "tree-1" / ".venv").exists()
    registered = {path.name for path in (site.repo / ".git" / "worktrees").iterdir()}
    assert registered == {"tree-1", "tree-2", "tree-3"}


def test_state_is_rebuilt_from_slots_that_are_folders(site: Site) -> None:
    setups = Setups(site)
    commits = of_an_earlier_release(site, setups)
    pid = site.get("/pid")
    (site.data / "state.db").write_bytes(b"not a database" * 100)

    site.start("--rebuild-state")

    status = site.status()
    assert [status["previous_commit"], status["live_commit"]] == commits
    assert site.get("/pid") != pid
    rolls_back_at_once(site, setups, "first")
