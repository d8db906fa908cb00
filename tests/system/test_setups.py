"""Setups of a whole daemon, with an `npm` that installs nothing from afar: skipped, run, killed, tried again."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from spec.waiting import wait_until

from tests.processes import kill_daemon
from tests.world import Site

NPM = """#!/bin/sh
echo "$1 $npm_config_cache" >> {log}
[ "$1" = install ] || rm -rf node_modules
mkdir -p node_modules/left-pad
test ! -e {slow} || {{ echo half; exec sleep 600; }}
echo "module.exports = 1" > node_modules/left-pad/index.js
echo "{{}}" > node_modules/.package-lock.json
"""
MANIFEST = {"package.json": "{}", "package-lock.json": "{}"}
SKIPPED = "skipped: package-lock.json is unchanged"


class Npm:
    def __init__(self, site: Site) -> None:
        self.log, self.slow = site.folder / "npm.log", site.folder / "slow"
        folder = site.folder / "bin"
        folder.mkdir()
        (folder / "npm").write_text(NPM.format(log=self.log, slow=self.slow))
        (folder / "npm").chmod(0o755)
        self.path = f"{folder}:{os.environ['PATH']}"

    @property
    def runs(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def npm(site: Site, monkeypatch: pytest.MonkeyPatch) -> Npm:
    npm = Npm(site)
    monkeypatch.setenv("PATH", npm.path)
    monkeypatch.delenv("npm_config_cache", raising=False)
    return npm


def deployed(site: Site, version: str, *options: str, **files: str) -> str:
    """Deploys a new commit, and returns what was said."""
    site.commit(version, MANIFEST | {name.replace("__", "/"): text for name, text in files.items()})
    done = site.run("deploy", *options)
    assert done.returncode == 0, done.stderr
    assert site.serving() == version
    return done.stderr


def test_setup_is_skipped_in_each_tree_that_has_had_it(site: Site, npm: Npm) -> None:
    site.start(setup_command="npm ci")
    first = [deployed(site, f"v{number}") for number in range(3)]
    then = [deployed(site, f"v{number}") for number in range(3, 7)]

    assert all("runs: there is no finished setup in this tree" in said for said in first)
    assert all(SKIPPED in said for said in then)
    assert npm.runs == [f"ci {site.data}/cache/npm"] * 3
    for version in ("v5", "v6"):
        assert site.run("rollback").returncode == 0
        assert site.serving() == version
    assert (site.data / "live/node_modules/left-pad/index.js").exists()


@pytest.mark.usefixtures("npm")
def test_what_changed_is_named_and_runs_it(site: Site) -> None:
    (site.repo / ".env").write_text("NODE_ENV=production\n")
    site.start(setup_command="npm ci", env_file=".env", spare_tree=False)
    for number in range(3):
        deployed(site, f"v{number}")
    assert SKIPPED in deployed(site, "v3")

    for version in ("patched-1", "patched-2"):
        assert "runs: patches/ changed" in deployed(site, version, patches__a="1")
    (site.repo / ".env").write_text("NODE_ENV=development\n")
    for version in ("env-1", "env-2"):
        assert "runs: NODE_ENV changed" in deployed(site, version, patches__a="1")
    shutil.rmtree(site.data / "previous/node_modules")
    assert "runs: node_modules is not as the setup left it" in deployed(site, "removed", patches__a="1")
    assert "runs: --setup" in deployed(site, "forced", "--setup", patches__a="1")
    manifest = json.dumps({"scripts": {"postinstall": "prisma generate"}})
    (site.repo / "package.json").write_text(manifest)
    for version in ("script-1", "script-2", "script-3"):
        said = deployed(site, version, patches__a="1", **{"package.json": manifest})
    assert "runs: package.json has a postinstall script, which may read any file" in said


def test_install_that_was_killed_with_the_daemon_counts_for_nothing(site: Site, npm: Npm) -> None:
    site.start(setup_command="npm ci", spare_tree=False)
    for number in range(3):
        deployed(site, f"v{number}")
    npm.slow.touch()
    site.commit("changed", MANIFEST | {"package-lock.json": '{"lockfileVersion": 3}'})
    with ThreadPoolExecutor() as pool:
        pool.submit(site.run, "deploy")
        wait_until("half of it is there", lambda: "half" in (site.data / "slot-b.log").read_text())
        kill_daemon(site)
    npm.slow.unlink()
    site.start(setup_command="npm ci", spare_tree=False)

    said = deployed(site, "back")

    assert "runs: there is no finished setup in this tree" in said
    assert (site.data / "live/node_modules/left-pad/index.js").exists()


@pytest.mark.parametrize("command", ["npm ci", "npm ci && npm run build"])
def test_retry_after_a_failed_health_check_goes_straight_on(site: Site, npm: Npm, command: str) -> None:
    site.start(setup_command=command)
    deployed(site, "good")
    runs = len(npm.runs)
    site.commit("bad", MANIFEST, health=500)
    failed, again = site.run("deploy"), site.run("deploy")

    assert (failed.returncode, again.returncode) == (1, 1)
    assert "runs: " in failed.stderr
    assert "skipped: " in again.stderr
    assert ("`slot-machine deploy --setup` runs it again" in again.stderr) is ("build" in command)
    assert len(npm.runs) == runs + command.count("npm")
    assert site.serving() == "good"


def test_packages_of_another_tree_are_copied_for_npm_install(site: Site, npm: Npm) -> None:
    site.start(setup_command="npm install")
    deployed(site, "v1")
    said = deployed(site, "v2")

    assert f"copied {site.data}/tree-1/node_modules" in said
    file = site.data / "live/node_modules/left-pad/index.js"
    assert file.stat().st_nlink == 1
    assert [run.split()[0] for run in npm.runs] == ["install"] * 2


def test_virtual_environment_is_skipped_and_never_copied(site: Site) -> None:
    site.start(setup_command="python3 -m venv --without-pip .venv")
    said = [deployed(site, f"v{number}") for number in range(4)]

    assert "copied" not in "".join(said)
    assert "skipped: nothing that it depends on has changed" in said[3]
    tree = (site.data / "live").resolve()
    assert str(tree) in (tree / ".venv/bin/activate").read_text()


def test_given_inputs_decide_for_any_command(site: Site) -> None:
    log = site.folder / "log"
    site.config["setup_inputs"] = ["deps"]
    site.start(setup_command=f"cat deps >> {log}")
    said = [deployed(site, f"v{number}", deps="1\n") for number in range(4)]
    assert "skipped: deps is unchanged" in said[3]
    assert "runs: deps changed" in deployed(site, "changed", deps="2\n")
    assert log.read_text() == "1\n1\n1\n2\n"


def test_deploy_of_what_is_live_does_nothing_unless_forced(site: Site) -> None:
    (site.repo / ".env").write_text("KEY=1\n")
    site.start(env_file=".env")
    commit = site.commit("v1")
    site.run("deploy")
    pid, attempts = site.get("/pid"), len(site.history())

    again = site.run("deploy")
    assert (again.returncode, again.stdout) == (0, f"already live: {commit} in slot a\n")
    assert "deploy --force" in again.stderr
    assert (site.get("/pid"), len(site.history())) == (pid, attempts)
    reply = site.post("/deploy", {"commit": "HEAD", "if_changed": True})
    assert (reply.status, reply.body["already_live"]) == (200, True)

    (site.repo / ".env").write_text("KEY=2\n")
    assert site.run("deploy").stdout == f"deployed {commit} to slot b\n"
    assert site.run("deploy", "--force").stdout == f"deployed {commit} to slot a\n"
    assert site.post("/deploy", {"commit": "HEAD"}).body["slot"] == "b", "a deploy is a deploy"
