"""A client never talks to another app's daemon, and finds its own one however that was started."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.ports import free_port
from spec.waiting import wait_until

from slot_machine.host import registry
from tests.world import Site, ask, installed

CHANGING = ("deploy", "rollback", "cancel", "reload")


@pytest.fixture
def staging(tmp_path: Path, site: Site) -> Iterator[Site]:
    """A second checkout with the same configuration: the same name and the same api_port."""
    (tmp_path / "staging").mkdir()
    staging = Site(installed(), tmp_path / "staging")
    name = f"shop-{free_port()}"
    site.config["name"] = name
    staging.config |= {"api_port": site.api_port, "name": name}
    (staging.repo / "slot-machine.json").write_text(json.dumps(staging.config))
    yield staging
    staging.close()


def test_two_checkouts_with_one_name_and_one_api_port(site: Site, staging: Site) -> None:
    site.start()
    site.commit("production")
    assert site.run("deploy").returncode == 0
    staging.commit("staging")

    for command in (*CHANGING, "status"):
        done = staging.run(command)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"is that of another app's daemon: {site.config['name']}" in done.stderr
        assert f"This was for {staging.data}, so nothing was done" in done.stderr
    (staging.data).mkdir()
    assert staging.run("deploy").returncode == 1

    assert (site.serving(), site.status()["reloads"]) == ("production", 0)
    assert len(site.history()) == 1
    staging.api_port = free_port()
    staging.start("--api-port", str(staging.api_port))
    assert staging.run("deploy").returncode == 0
    assert (staging.serving(), site.serving()) == ("staging", "production")


def test_an_ambiguous_name_lists_the_candidates_and_does_nothing(site: Site, staging: Site, tmp_path: Path) -> None:
    name = str(site.config["name"])
    site.start()
    staging.api_port = free_port()
    staging.start("--api-port", str(staging.api_port))
    staging.commit("one")

    for command in ("deploy", "cancel"):
        refused = site.orchestrator.run(command, "-a", name, cwd=tmp_path)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"several daemons are called {name}, so nothing was done" in refused.stderr
        assert f"{name}: {site.data}, port {site.port}" in refused.stderr
        assert f"{name}: {staging.data}, port {staging.port}" in refused.stderr
    assert site.history() == staging.history() == []
    listed = [
        row for row in json.loads(site.orchestrator.run("ls", "--json", cwd=tmp_path).stdout) if row["name"] == name
    ]
    assert {(row["data"], row["port"], row["live_commit"]) for row in listed} == {
        (str(each.data), each.port, "") for each in (site, staging)
    }

    site.commit("another HEAD than that of the app that is named")
    for app, folder in ((str(staging.data), site.repo), ("staging/repo", tmp_path)):
        assert staging.orchestrator.run("-a", app, "deploy", "--force", cwd=folder).returncode == 0
    assert len(staging.history()) == 2
    assert site.history() == []
    done = site.orchestrator.run("status", "--app", f"{name}-x", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no running daemon is called {name}-x; there are: " in done.stderr


def test_daemon_is_found_however_it_was_started(site: Site, tmp_path: Path) -> None:
    """Its folder's own configuration names another port and another data folder than it uses."""
    name = f"shop-{free_port()}"
    site.config["name"] = name
    site.api_port = free_port()
    other, data = tmp_path / "etc" / "shop.json", tmp_path / "data"
    other.parent.mkdir()
    other.write_text(json.dumps(site.config))
    below = site.repo / "below"
    below.mkdir()
    site.start("--config", str(other), "--repo", ".", "--data", str(data), "--api-port", str(site.api_port))
    commit = site.commit("one")

    assert site.orchestrator.run("deploy", cwd=below).returncode == 0
    (site.repo / "slot-machine.json").unlink()
    for folder in (below, data / "slot-a", data):
        shown = json.loads(site.orchestrator.run("status", "--json", cwd=folder).stdout)
        assert (shown["name"], shown["live_commit"]) == (name, commit)
    elsewhere = site.orchestrator.run("deploy", "--force", "-a", name, cwd=tmp_path / "etc")
    assert (elsewhere.returncode, elsewhere.stdout) == (0, f"deployed {commit} to slot b\n")


def test_caller_may_say_which_app_it_means(site: Site) -> None:
    site.start(name="shop")

    assert ask(site, "GET", "/status", {"Slot-Machine-App": '{"name": "shop"}'})[0] == 200
    for name in ("shop2", "Shop"):
        status, body = ask(site, "POST", "/rollback", {"Slot-Machine-App": json.dumps({"name": name})})
        assert status == 421
        assert f"This was for {name}, so nothing was done" in json.loads(body)["error"]
    assert ask(site, "GET", "/status", {"Slot-Machine-App": "shop"})[0] == 400


def test_daemon_that_stops_leaves_no_entry(site: Site) -> None:
    site.start()
    name = registry._file_name(str(site.data))
    entries = [Path(folder) / name for folder in registry.own_folders()]
    wait_until("it is published", lambda: any(path.exists() for path in entries))
    site.daemons[-1].stop()

    assert not any(path.exists() for path in entries)
