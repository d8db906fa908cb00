"""A daemon with a repository of its own follows the branch of another one."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from spec.daemon import Daemon
from spec.orchestrator import environment
from spec.waiting import wait_until

from tests.world import Site

FOLLOW = {"branch": "main", "every_s": 1}


class Server:
    """`site.repo` is the remote, where somebody commits. The daemon's repository is bare."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.repo = site.folder / "server.git"
        site.config["follow"] = FOLLOW

    def clone(self) -> None:
        subprocess.run(
            ["git", "clone", "--quiet", "--bare", str(self.site.repo), str(self.repo)], check=True, env=environment()
        )

    def start(self, *options: str) -> Daemon:
        return self.site.start("--repo", str(self.repo), "--data", str(self.site.data), *options)

    def refs(self, repo: Path) -> str:
        """All but ours."""
        done = subprocess.run(["git", "for-each-ref"], cwd=repo, check=True, capture_output=True, text=True)
        return "\n".join(line for line in done.stdout.splitlines() if "refs/slot-machine/" not in line)

    @property
    def follow(self) -> dict[str, object]:
        found = self.site.status()["follow"]
        assert isinstance(found, dict)
        return found

    def is_live(self, commit: str) -> None:
        self.is_at(commit, "live")
        assert self.site.status()["live_commit"] == commit

    def is_at(self, commit: str, state: str) -> None:
        wait_until(
            f"{commit} is {state}", lambda: (self.follow["commit"], self.follow["state"]) == (commit, state), limit_s=30
        )

    def says(self) -> str:
        return " ".join(self.site.run("status").stdout.split())


@pytest.fixture
def server(site: Site) -> Server:
    return Server(site)


def test_branch_is_followed_and_what_was_rolled_back_is_not(server: Server) -> None:
    site = server.site
    first = site.commit("first")
    server.clone()
    before = server.refs(server.repo), server.refs(site.repo)
    server.start()
    server.is_live(first)
    assert (server.refs(server.repo), server.refs(site.repo)) == before
    assert site.history()[0]["trigger"] == "follow"

    second = site.commit("second")
    server.is_live(second)
    assert site.serving() == "second"
    assert site.post("/rollback").status == 200
    server.is_at(second, "left_out")
    assert f"main is at {second[:8]}, left out since the rollback" in server.says()

    site.daemons[-1].stop()
    server.start()
    server.is_at(second, "left_out")
    assert site.post("/reload").status == 202
    wait_until("it has reloaded", lambda: site.status()["reloads"] == 1)
    server.is_at(second, "left_out")
    site.daemons[-1].stop()
    (site.data / "state.db").write_bytes(b"not a database" * 100)
    server.start("--rebuild-state")
    server.is_at(second, "left_out")
    assert site.serving() == "first"

    third = site.commit("third", health=500)
    server.is_at(third, "left_out")
    assert site.serving() == "first"
    assert "its deploy failed in the stage health" in server.says()
    assert [entry["commit_hash"] for entry in site.history() if entry["trigger"] == "follow"] == [third]
    fourth = site.commit("fourth")
    server.is_live(fourth)
    assert server.refs(server.repo) == before[0]


def test_remote_that_is_away_is_told_and_followed_when_it_is_back(server: Server) -> None:
    site = server.site
    first = site.commit("first")
    server.clone()
    server.start()
    server.is_live(first)
    second = site.commit("second")
    away = site.repo / "away"
    os.rename(site.repo / ".git", away)
    wait_until("the look has failed", lambda: server.follow["error"])
    assert "the last look FAILED" in server.says()
    assert site.serving() == "first"
    os.rename(away, site.repo / ".git")
    server.is_live(second)
    assert server.follow["error"] == ""


def test_setup_that_failed_is_tried_again(server: Server) -> None:
    site = server.site
    mark = site.folder / "network"
    site.config["setup_command"] = f"test -e {mark}"
    commit = site.commit("first")
    server.clone()
    server.start()
    server.is_at(commit, "retrying")
    mark.touch()
    server.is_live(commit)
    results = [entry["result"] for entry in site.history()]
    assert set(results[:-1]) == {"failed"}
    assert results[-1] == "succeeded"


def test_wrong_field_is_refused_at_the_start(server: Server) -> None:
    site = server.site
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | {"follow": {"brnach": "main"}}))
    done = site.run("start")
    assert done.returncode == 1
    assert "follow: there is no field 'brnach' in it" in done.stderr
