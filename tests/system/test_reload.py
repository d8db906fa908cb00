"""`slot-machine reload`: the daemon goes on as new code with a new configuration, and nobody notices."""

import asyncio
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from demo.load import Load
from spec.ports import is_free
from spec.waiting import wait_until
from spec.web import exchange

from slot_machine.cli import reloading
from slot_machine.core.errors import ConfigError
from slot_machine.daemon import reload
from slot_machine.daemon.reload import VARIABLE
from slot_machine.host import registry
from slot_machine.host.process import python
from slot_machine.state.schema import SCHEMA_VERSION
from tests.processes import alive, children_of, kill, kill_daemon, no_more_files, workers
from tests.world import MODES, Site, goes_on, installed, live, metric

RELOADS = 3
ROOT = Path(__file__).parents[2]


def configure(site: Site, **config: str | int) -> None:
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config | config))


def test_reload_under_load_fails_no_request(site: Site) -> None:
    live(site, proxy_workers=2)
    app, daemon = site.get("/pid"), site.daemons[-1].process
    load = Load(site.port)
    with load.running():
        for number in range(RELOADS):
            goes_on(load)
            old = workers(site)
            configure(site, proxy_workers=1 + number % 2, access_log="access.log")
            reloaded = site.run("reload")
            assert (reloaded.returncode, reloaded.stdout) == (0, "reloaded\n"), reloaded.stderr
            assert site.status()["reloads"] == number + 1
            wait_until("the old workers have retired", lambda old=old: not any(map(alive, old)))  # type: ignore[misc]
            assert len(workers(site)) == 1 + number % 2
        site.commit("next")
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
        goes_on(load)

    assert load.failures == []
    assert load.answers["next"] > 0
    assert daemon.returncode is None
    assert not alive(int(app[1]))
    assert (site.repo / "access.log").read_text()
    assert site.daemons[-1].stop() == 0
    assert not list(site.data.glob("proxy-*.sock"))


def test_reload_between_the_head_and_the_body_of_replies_fails_no_request(site: Site) -> None:
    live(site)
    site.commit("apart", apart=True)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    load = Load(site.port, (("GET", "/", True),) * 8)
    with load.running():
        for number in range(RELOADS):
            goes_on(load)
            site.daemons[-1].process.send_signal(signal.SIGHUP)
            reloaded = partial(has_reloaded, site, number + 1)
            wait_until("the reload is done", reloaded)
        goes_on(load)

    assert load.failures == []


def has_reloaded(site: Site, times: int) -> bool:
    """Asks over HTTP: a command for each question would take the CPU that the reload needs."""
    try:
        return site.status().get("reloads") == times
    except (OSError, http.client.HTTPException):
        return False


@MODES
def test_reload_keeps_the_app(site: Site, options: tuple[str, ...]) -> None:
    live(site, *options)
    app = site.get("/pid")
    configure(site, start_command="exit 3")

    site.daemons[-1].process.send_signal(signal.SIGHUP)
    wait_until("the reload is done", lambda: has_reloaded(site, 1))

    assert site.get("/pid") == app
    site.commit("next")
    assert "exit code 3" in str(site.post("/deploy", {"commit": "HEAD"}).body["error"])


def test_request_in_flight_is_finished_by_the_old_worker(site: Site) -> None:
    live(site)
    (old,) = workers(site)
    answers: list[tuple[int, bytes]] = []
    asking = threading.Thread(target=lambda: answers.append(exchange(site.port, "GET", "/slow")))
    asking.start()
    wait_until("it is in flight", lambda: metric(site, 'requests_in_flight{slot="a"}') == 1)

    assert site.run("reload").returncode == 0

    assert alive(old) or answers
    asking.join()
    assert answers == [(200, b"good")]
    wait_until("the old worker has retired", lambda: not alive(old))


def test_old_worker_that_hangs_holds_no_deploy_back(site: Site) -> None:
    live(site)
    (old,) = workers(site)
    with socket.create_connection(("127.0.0.1", site.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        assert site.run("reload").returncode == 0
        os.kill(old, signal.SIGSTOP)
        site.commit("next")

        reply = site.post("/deploy", {"commit": "HEAD"})

    os.kill(old, signal.SIGKILL)
    assert reply.status == 200
    assert site.serving() == "next"


def test_bad_configuration_leaves_the_daemon_as_it_was(site: Site) -> None:
    live(site)
    before = workers(site)
    refused: list[tuple[dict[str, str | int], str]] = [
        ({"drain_timeout_ms": "long"}, "drain_timeout_ms"),
        ({"port": 1}, "can't change port"),
        ({"internal_port": 2}, "can't change internal_port"),
        ({"api_port": 3}, "can't change api_port"),
        ({"user": 65534}, "can't change user ( to 65534)"),
        ({"data": "elsewhere"}, "can't change data"),
    ]
    log = site.daemons[-1].log
    for number, (config, reason) in enumerate(refused, 1):
        configure(site, **config)

        reply = site.post("/reload")
        site.daemons[-1].process.send_signal(signal.SIGHUP)
        wait_until(
            "the signal's reload is refused, too",
            lambda number=number: log.read_text().count("nothing was reloaded") == number,  # type: ignore[misc]
        )

        assert reply.status == 422
        assert reason in str(reply.body["error"])
        assert reason in log.read_text().splitlines()[-1]
        assert workers(site) == before
        assert site.status()["reloads"] == 0
    assert site.serving() == "good"


def test_reload_during_a_deploy_is_refused_and_by_signal_waits(site: Site) -> None:
    live(site)
    flag = site.folder / "flag"
    configure(site, setup_command=f"until test -e {flag}; do sleep 0.05; done")
    assert site.run("reload").returncode == 0
    site.commit("next")
    client = subprocess.Popen([site.orchestrator.binary, "deploy"], cwd=site.repo, stderr=subprocess.DEVNULL)
    wait_until("the setup runs", lambda: site.status()["running"] == "setup")

    site.daemons[-1].process.send_signal(signal.SIGHUP)
    assert site.post("/reload").status == 409
    assert site.status()["running"] == "setup"
    flag.touch()

    assert client.wait(20) == 0
    wait_until("the reload is done", lambda: has_reloaded(site, 2))
    assert site.serving() == "next"


def test_deploy_that_begins_while_the_new_configuration_is_checked_goes_first(site: Site) -> None:
    wait, flag = site.folder / "wait", site.folder / "flag"
    live(site, setup_command=f"test ! -e {wait} || until test -e {flag}; do sleep 0.05; done")
    site.commit("next")
    wait.touch()
    with ThreadPoolExecutor() as pool:
        reloading = pool.submit(site.post, "/reload")
        wait_until("it is checked", lambda: children_of(site.daemons[-1].process.pid, "--check"))
        deploying = pool.submit(site.post, "/deploy", {"commit": "HEAD"})
        status = reloading.result().status
        flag.touch()

    assert status == 409
    assert deploying.result().status == 200
    assert site.serving() == "next"


def test_api_takes_connections_all_through_a_reload(site: Site) -> None:
    live(site)
    refused: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            status = site.run("status")
            if status.returncode:
                refused.append(status.stderr)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(2):
        assert site.run("reload").returncode == 0
    done.set()
    asking.join()

    assert [error for error in refused if "refused" in error] == []


def test_kill_during_a_reload_leaves_all_of_it_to_the_next_daemon(site: Site) -> None:
    live(site)
    app = site.get("/pid")
    load = Load(site.port)
    with load.running():
        goes_on(load)
        assert site.post("/reload").status == 202
        kill_daemon(site)
        goes_on(load)
        site.start()
        goes_on(load)

    assert load.failures == []
    assert site.get("/pid") == app


def test_kill_of_the_data_plane_while_no_daemon_sees_it_refuses_nobody(site: Site) -> None:
    live(site)
    (worker,) = workers(site)
    daemon = site.daemons[-1].process
    assert site.post("/reload").status == 202
    wait_until("the next image begins", lambda: VARIABLE in Path(f"/proc/{daemon.pid}/environ").read_text())
    kill(worker)
    wait_until("it is dead", lambda: not alive(worker))

    assert site.serving() == "good"

    wait_until("the reload is done", lambda: site.status()["reloads"] == 1)
    assert not alive(worker)
    assert site.serving() == "good"


def test_data_plane_that_does_not_start_leaves_the_one_there_is(site: Site) -> None:
    uvloop = replaceable_uvloop(site)
    live(site)
    (old,) = workers(site)
    load = Load(site.port)
    with load.running():
        goes_on(load)
        uvloop.write_text("def run(_): raise OSError('broken')")
        assert site.run("reload").returncode == 0
        assert workers(site) == [old]
        site.commit("next")
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
        assert site.serving() == "next"
        goes_on(load)
        uvloop.unlink()
        assert site.run("reload").returncode == 0
        assert workers(site) != [old]
        goes_on(load)

    assert load.failures == []
    assert "so what there is goes on" in site.daemons[-1].log.read_text()


def test_worker_that_does_not_start_in_a_reload_is_tried_again_while_the_others_serve(site: Site) -> None:
    uvloop = replaceable_uvloop(site)
    live(site, proxy_workers=2)
    old = workers(site)
    uvloop.write_text(BROKEN_AT_TIMES.replace("FOLDER", str(uvloop.parent)))
    load = Load(site.port)
    with load.running():
        goes_on(load)
        assert site.run("reload").returncode == 0
        wait_until("there are two of the new ones", lambda: len(set(workers(site)) - set(old)) == 2)
        wait_until("the old ones have retired", lambda: not any(map(alive, old)))
        goes_on(load)

    assert load.failures == []


BROKEN_AT_TIMES = """
import os, sys

def run(main):
    for number in range(9):
        try:
            os.close(os.open(f"FOLDER/{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        break
    if number in (0, 2):  # One of two workers, and the second try of that one.
        raise OSError("broken")
    sys.path.remove("FOLDER")
    del sys.modules["uvloop"]
    import uvloop
    uvloop.run(main)
"""


def test_data_plane_that_cannot_be_loaded_is_no_reason_to_reload(site: Site) -> None:
    uvloop = replaceable_uvloop(site)
    live(site)
    before = workers(site)
    uvloop.write_text("raise ImportError('half installed')")

    reply = site.post("/reload")

    assert reply.status == 422
    assert "the data plane can't be loaded: ImportError('half installed')" in str(reply.body["error"])
    assert workers(site) == before
    assert site.serving() == "good"


def lose_the_repository(site: Site) -> None:
    (site.repo / ".git").rename(site.folder / "elsewhere")


def damage_the_database(site: Site) -> None:
    with sqlite3.connect(site.data / "state.db") as db:
        db.execute("ALTER TABLE trees RENAME TO lost")
    db.close()


@pytest.mark.parametrize(
    ("lose", "reason"),
    [(lose_the_repository, "not a git repository"), (damage_the_database, "is damaged: no such table: trees")],
)
def test_daemon_that_could_not_start_again_is_not_reloaded(
    site: Site, lose: Callable[[Site], None], reason: str
) -> None:
    live(site)
    lose(site)

    reply = site.post("/reload")

    assert reply.status == 422
    assert "nothing was reloaded" in str(reply.body["error"])
    assert reason in str(reply.body["error"])
    assert reply.body["hint"]
    assert site.post("/cancel").status == 409
    assert site.serving() == "good"


def test_start_without_a_data_plane_is_refused(site: Site) -> None:
    replaceable_uvloop(site).write_text("def run(_): raise OSError('broken')")

    daemon = site.launch()

    assert daemon.process.wait(20) == 1
    said = daemon.log.read_text()
    assert "error: the data plane does not start" in said
    assert "OSError: broken" in said
    assert is_free(site.port)


def replaceable_uvloop(site: Site) -> Path:
    """A file that, if it is there, is the uvloop of the daemon's processes."""
    folder = site.folder / "packages"
    folder.mkdir()
    site.prefix = ("/usr/bin/env", f"PYTHONPATH={folder}", "PYTHONDONTWRITEBYTECODE=1")
    return folder / "uvloop.py"


def test_reload_that_cannot_be_checked_leaves_the_daemon_as_it_was(site: Site) -> None:
    live(site)
    daemon = site.daemons[-1]
    with no_more_files(daemon.process.pid):
        daemon.process.send_signal(signal.SIGHUP)
        wait_until("it is refused", lambda: "nothing was reloaded" in daemon.log.read_text())

    assert "Too many open files" in daemon.log.read_text()
    assert site.status()["reloads"] == 0
    assert site.run("reload").returncode == 0


def test_child_that_ended_in_a_reload_does_not_stay_as_a_zombie(site: Site) -> None:
    live(site)
    daemon = site.daemons[-1].process
    app = int(site.get("/pid")[1])
    assert site.post("/reload").status == 202
    wait_until("the next image begins", lambda: VARIABLE in Path(f"/proc/{daemon.pid}/environ").read_text())
    kill(app)

    wait_until("the app is back", lambda: site.get() == (200, "good"))
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children")
    wait_until("no dead one is left", lambda: all(map(alive, map(int, children.read_text().split()))))


def test_sigterm_in_the_middle_of_a_reload_is_not_lost(site: Site) -> None:
    live(site)
    daemon = site.daemons[-1].process
    assert site.post("/reload").status == 202
    daemon.send_signal(signal.SIGTERM)

    assert daemon.wait(20) == 0
    assert not list(site.data.glob("proxy-*.sock"))
    assert is_free(site.port)


def test_nobody_else_gets_the_data_folder_in_a_reload(site: Site) -> None:
    live(site)
    done = threading.Event()
    refusals: set[str] = set()

    def start() -> None:
        while not done.is_set():
            refusals.add(site.run("start", "--port", str(site.port + 1)).stderr)

    starting = [threading.Thread(target=start) for _ in range(2)]
    for thread in starting:
        thread.start()
    reloads = [site.run("reload") for _ in range(3)]
    done.set()
    for thread in starting:
        thread.join()

    assert [reload.stderr for reload in reloads] == [""] * 3
    (refusal,) = refusals
    assert f"the daemon with pid {site.daemons[-1].process.pid} already uses the data folder" in refusal


@pytest.mark.parametrize(("handed", "takes_lock"), [(["api_fd", "lock_fd"], True), (["api_fd"], False), (None, False)])
def test_lock_is_handed_only_to_code_that_takes_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handed: list[str] | None, takes_lock: bool
) -> None:
    """Code that does not would find the data folder taken, by itself."""
    fixed: dict[str, object] = {"port": 1, "data": str(tmp_path)}
    answer = json.dumps(fixed | {"schema": SCHEMA_VERSION} | ({"handed": handed} if handed else {}))
    monkeypatch.setattr(python, "this_one", lambda: ["/bin/sh", "-c", 'echo "$0"', answer])

    assert ("lock_fd" in asyncio.run(reload.check(fixed))) is takes_lock


@pytest.mark.parametrize("known", [{}, {"schema": SCHEMA_VERSION - 1}], ids=["silent", "older"])
def test_code_that_cannot_read_the_database_is_not_reloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known: dict[str, int]
) -> None:
    fixed: dict[str, object] = {"data": str(tmp_path)}
    monkeypatch.setattr(python, "this_one", lambda: ["/bin/sh", "-c", 'echo "$0"', json.dumps(fixed | known)])

    with pytest.raises(ConfigError, match="older slot-machine, which can't read this database"):
        asyncio.run(reload.check(fixed))


def test_what_an_older_image_hands_over_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, '{"api_fd": 3, "listener_fds": {}, "reloads": 1}')

    assert reload.Handed.inherited() == reload.Handed(3, {}, 1, -1)


def test_image_that_cannot_be_executed_ends_the_daemon_and_leaves_its_folder(site: Site) -> None:
    """Its executable is gone between the check and the reload; what runs is taken over by the next start."""
    python = site.folder / "python"
    python.symlink_to(sys.executable)
    (site.folder / "sitecustomize.py").write_text(
        f"import os, sys\nif '--check' in sys.argv: os.unlink({str(python)!r})"
    )
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    site.prefix = ("/usr/bin/env", f"PYTHONPATH={site.folder}:{ROOT / 'src'}:{packages}", str(python))
    live(site)
    app = site.get("/pid")
    daemon = site.daemons[-1]

    assert site.post("/reload").status == 202

    assert daemon.process.wait(20) == 1
    assert "can't execute itself again" in daemon.log.read_text()
    assert site.get("/pid") == app
    site.prefix = ()
    site.start()
    assert site.get("/pid") == app


def test_all_daemons_of_the_registry_reload(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    other = Site(installed(), tmp_path / "other")
    try:
        for each in (site, other):
            each.start()
        ours = [entry for entry in registry.running() if entry.data in (str(site.data), str(other.data))]
        assert len(ours) == 2
        monkeypatch.setattr(registry, "running", lambda: ours)
        (other.repo / "slot-machine.json").write_text("{")

        results = {result.data: result for result in reloading.every()}

        assert (results[str(site.data)].error, site.status()["reloads"]) == ("", 1)
        assert "nothing was reloaded" in results[str(other.data)].error
        assert other.status()["reloads"] == 0
    finally:
        other.close()


def test_app_keeps_its_environment_and_reload_says_so(site: Site) -> None:
    env = site.repo / "app.env"
    env.write_text("A=1\n")
    live(site, env_file="app.env")
    assert site.status()["env_changed"] is False
    assert site.run("reload").stderr == ""
    env.write_text("A=2\n")

    reloaded = site.run("reload")

    assert (reloaded.returncode, reloaded.stdout) == (0, "reloaded\n")
    assert "the app keeps its environment; use `slot-machine restart`" in reloaded.stderr
    assert "the app keeps its environment" in site.daemons[-1].log.read_text()
    assert site.run("restart").returncode == 0
    assert site.status()["env_changed"] is False
    assert site.run("reload").stderr == ""
