"""An app with a database and uploads: whatever is deployed, all that it has confirmed is there."""

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.processes import kill_daemon
from tests.world import Site

APP = Path(__file__).parents[1] / "clients" / "data_app.py"
SHARED: dict[str, object] = {"shared_dirs": ["uploads"], "shared_files": ["app.db"]}


class Writers:
    """Clients that write. `written` counts what was confirmed, by kind."""

    def __init__(self, site: Site) -> None:
        self.written = {"note": 0, "upload": 0}
        self.failed: list[str] = []
        self._site = site
        self._ends = threading.Event()

    def _write(self, kind: str) -> None:
        while not self._ends.is_set():
            try:
                status, body = self._site.get(f"/{kind}/{self.written[kind]}")
            except OSError as error:
                status, body = 0, str(error)
            if status == 200:
                self.written[kind] += 1
            else:
                self.failed.append(body)

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._write, args=(kind,)) for kind in self.written]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ends.set()
            for thread in threads:
                thread.join()

    def go_on(self) -> None:
        goals = {kind: count + 10 for kind, count in self.written.items()}
        wait_until("more is written", lambda: all(self.written[kind] >= goal for kind, goal in goals.items()))


def commit(site: Site, version: str, config: dict[str, object], argument: str = "") -> None:
    command = f"exec {shlex.quote(sys.executable)} -IS data_app.py {argument}"
    fields = {"start_command": command, "health_endpoint": "/"} | config
    site.commit(version, {"data_app.py": APP.read_text(), "version": version, "app.json": json.dumps(fields)})


def deploy(site: Site) -> object:
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert reply.status == 200, reply
    return reply.body["warnings"]


def check_whole(site: Site, writers: Writers) -> None:
    told = json.loads(site.get("/count")[1])
    assert (told["notes"], told["uploads"]) == (writers.written["note"], writers.written["upload"])
    assert told["shared"] == str(site.data / "shared")
    assert site.status()["shared"] == {"uploads": "linked", "app.db": "linked"}
    assert "shared        app.db linked\n              uploads linked\n" in site.run("status").stdout
    assert writers.failed == []


def test_five_deploys_and_a_rollback_under_load_lose_nothing(site: Site) -> None:
    site.start(app_config="app.json")
    commit(site, "v0", SHARED)
    deploy(site)
    writers = Writers(site)
    with writers.running():
        for number in range(1, 6):
            commit(site, f"v{number}", SHARED)
            assert deploy(site) == []
            writers.go_on()
        assert site.post("/rollback").status == 200
        writers.go_on()
    assert site.serving() == "v4"
    check_whole(site, writers)
    assert not (site.data / "kept").exists()


def test_data_of_a_running_app_is_moved(site: Site) -> None:
    """The database is open, so it moves when the old version has stopped."""
    site.start(app_config="app.json")
    commit(site, "v0", {}, "keeps-open")
    deploy(site)
    writers = Writers(site)
    with writers.running():
        writers.go_on()
        commit(site, "v1", SHARED)
        refused = site.post("/deploy", {"commit": "HEAD"})
        assert refused.status == 500
        assert "has it open" in str(refused.body["error"])
        writers.go_on()
        commit(site, "v2", SHARED | {"strategy": "replace"}, "keeps-open")
        deploy(site)
        writers.go_on()
        commit(site, "v3", SHARED)
        deploy(site)
        writers.go_on()
    check_whole(site, writers)


@pytest.mark.parametrize("setup", ["sleep 60", "exit 0"])
def test_daemon_that_is_killed_after_data_has_moved_loses_nothing(site: Site, setup: str) -> None:
    """In the setup, or later."""
    site.start(app_config="app.json")
    commit(site, "v0", {})
    deploy(site)
    uploads, writers = site.data / "live" / "uploads", Writers(site)
    with writers.running():
        writers.go_on()
        commit(site, "v1", {"shared_dirs": ["uploads"], "setup_command": setup})
        client = threading.Thread(target=lambda: site.run("deploy"))
        client.start()
        wait_until("the data has moved", uploads.is_symlink)
        kill_daemon(site)
        client.join()
        writers.go_on()
        site.start()
        commit(site, "v2", SHARED | {"strategy": "replace"})
        deploy(site)
        writers.go_on()
    check_whole(site, writers)
