"""Processes of the daemon's that hang, or can't be started, or are left to themselves."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from spec.ports import is_free
from spec.waiting import wait_until

from tests.processes import alive, keeper, kill, kill_daemon, no_more_files, workers
from tests.world import Site, live, metric


def test_data_plane_that_cannot_be_started_again_is_tried_again(site: Site) -> None:
    live(site)
    daemon = site.daemons[-1]
    (worker,) = workers(site)
    with no_more_files(daemon.process.pid):
        kill(worker)
        wait_until("it can't be started", lambda: "cannot start the data plane" in daemon.log.read_text())

    wait_until("it is there again", lambda: workers(site))
    assert site.serving() == "good"


def test_daemon_that_can_open_no_file_looks_after_its_children_later(site: Site) -> None:
    live(site)
    daemon = site.daemons[-1]
    with no_more_files(daemon.process.pid):
        wait_until("it can't look", lambda: "cannot look for children" in daemon.log.read_text())

    assert site.serving() == "good"
    assert site.status()["healthy"] is True


def test_data_plane_that_ends_while_the_daemon_stops_is_not_started_again(site: Site) -> None:
    site.start(drain_timeout_ms=3000)
    site.commit("good", stubborn=True)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    daemon = site.daemons[-1]
    (worker,) = workers(site)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(site.get, "/held")
        wait_until("it is in flight", lambda: metric(site, 'requests_in_flight{slot="a"}') == 1)
        daemon.process.terminate()
        wait_until("no more are taken", lambda: is_free(site.port))
        kill(worker)
        assert daemon.process.wait(20) == 0
        assert isinstance(held.exception(), OSError)

    assert "Traceback" not in daemon.log.read_text()
    assert not list(site.data.glob("proxy-*.sock"))


def test_data_plane_that_hangs_is_replaced_at_a_switch(site: Site) -> None:
    live(site)
    (worker,) = workers(site)
    os.kill(worker, signal.SIGSTOP)
    site.commit("next")

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    assert not alive(worker)
    wait_until("it is replaced", lambda: workers(site))
    assert site.serving() == "next"


def test_worker_of_a_daemon_that_was_killed_while_it_stopped_ends_with_its_last_client(site: Site) -> None:
    live(site, drain_timeout_ms=60_000)
    (worker,) = workers(site)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(site.get, "/held")
        wait_until("it is in flight", lambda: metric(site, 'requests_in_flight{slot="a"}') == 1)
        site.daemons[-1].process.terminate()
        wait_until("no more are taken", lambda: is_free(site.port))
        kill_daemon(site)
        assert alive(worker)
        (site.data / "release").touch()

    assert held.result() == (200, "good")
    wait_until("it has ended", lambda: not alive(worker))
    site.start()
    assert site.serving() == "good"


def test_keeper_that_hangs_is_replaced_at_a_deploy(site: Site) -> None:
    live(site, "--no-proxy")
    hung = keeper(site)
    os.kill(hung, signal.SIGSTOP)
    site.commit("next")

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    assert not alive(hung)
    assert site.serving() == "next"
    site.commit("last")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.status()["handover"] is True


def test_keeper_that_hangs_does_not_keep_the_daemon_from_stopping(site: Site) -> None:
    told = site.folder / "told"
    trap = f"trap 'touch {told}; exit' TERM; {site.config['start_command']} & wait"
    live(site, "--no-proxy", start_command=trap)
    hung = keeper(site)
    os.kill(hung, signal.SIGSTOP)

    assert site.daemons[-1].stop() == 0

    assert told.exists(), "the app gets its time to end nevertheless"
    assert not alive(hung)
    assert is_free(site.port)
    assert not (site.data / "handover.sock").exists()


def test_stop_before_a_daemon_took_over_leaves_nothing(site: Site) -> None:
    live(site, "--no-proxy")
    app, hung = int(site.get("/pid")[1]), keeper(site)
    kill_daemon(site)
    os.kill(hung, signal.SIGSTOP)
    daemon = site.launch("--no-proxy")
    wait_until("it has begun", lambda: (site.data / "daemon.lock").read_text().startswith(f"{daemon.process.pid}\n"))

    assert daemon.stop() == 0

    assert not alive(app)
    assert not alive(hung)
    assert is_free(site.port)


def test_keeper_that_hangs_is_not_taken_over(site: Site) -> None:
    live(site, "--no-proxy")
    hung = keeper(site)
    os.kill(hung, signal.SIGSTOP)
    kill_daemon(site)

    site.start("--no-proxy")

    assert not alive(hung)
    assert site.serving() == "good"
