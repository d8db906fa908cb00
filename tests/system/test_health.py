"""What is told of an app's health: of a live one that hangs, after a crash, and of one that never became healthy."""

import os
import signal

import pytest
from spec.waiting import wait_until
from spec.web import exchange

from tests.world import MODES, Site, live, metric


@MODES
def test_live_app_that_hangs_is_unhealthy_until_it_answers(site: Site, options: tuple[str, ...]) -> None:
    live(site, *options, health_interval_ms=100)
    app = site.status()["pid"]
    assert isinstance(app, int)
    os.kill(int(site.get("/pid")[1]), signal.SIGSTOP)

    wait_until("it is unhealthy", lambda: not site.status()["healthy"])

    status = site.status()
    assert "/healthz answered nothing within 1 s" in str(status["unhealthy_reason"])
    assert (status["pid"], status["restarts"]) == (app, 0)
    assert metric(site, "app_healthy") == 0
    assert metric(site, 'health_checks_failed_total{answer="nothing within 1 s"}') >= 3
    assert "is unhealthy: /healthz" in site.daemons[-1].log.read_text()

    os.killpg(app, signal.SIGCONT)
    wait_until("it is healthy", lambda: site.status()["healthy"])
    assert site.status()["unhealthy_reason"] == ""
    assert metric(site, "app_healthy") == 1
    if not options:
        assert metric(site, 'requests_total{slot="a",status="2xx"}') == 1, "probes do not go through the proxy"


def test_unhealthy_app_is_started_again_if_so_configured(site: Site) -> None:
    live(site, health_interval_ms=50, restart_when_unhealthy=True)
    app = site.status()["pid"]
    site.get("/sicken")

    wait_until("it was started again", lambda: site.status()["pid"] not in (0, app))

    status = site.status()
    assert "ended because it was unhealthy: /healthz answered 500" in str(status["last_exit"])
    assert status["restarts"] == 1
    assert site.serving() == "good"


@MODES
def test_live_app_stays_healthy_while_a_sick_one_is_tried(site: Site, options: tuple[str, ...]) -> None:
    """Under `--no-proxy` both are bound to the same port."""
    live(site, *options, health_interval_ms=50, health_timeout_ms=800)
    site.commit("sick", healthy=False)

    assert site.post("/deploy", {"commit": "HEAD"}).status == 500

    assert site.status()["healthy"]
    _, text = exchange(site.api_port, "GET", "/metrics")
    assert b"health_checks_failed_total{" not in text


def test_failed_health_check_says_what_came_and_not_the_apps_access_log(site: Site) -> None:
    site.start(health_timeout_ms=1500)
    site.commit("bad", healthy=False, talks=True)

    reply = site.post("/deploy", {"commit": "HEAD"})

    error = str(reply.body["error"])
    assert " x connection refused, " in error
    assert " x 500)" in error
    assert "booting bad" in error
    assert "GET /healthz" not in error
    assert "GET /healthz" in (site.data / "slot-a.log").read_text()


@MODES
def test_app_that_forces_https_and_answers_one_host_only(site: Site, options: tuple[str, ...]) -> None:
    daemon = site.start(
        *options, health_host="shop.example", health_status="200-399", health_endpoint="/healthz", health_interval_ms=50
    )
    site.commit("picky", host_only="shop.example", forces_https="https", health=302, location="/login")

    assert site.post("/deploy", {"commit": "HEAD"}).status == 200

    daemon.process.kill()
    daemon.process.wait()
    site.start(*options)
    wait_until("the next daemon knows that it is healthy", lambda: site.status()["healthy"])
    assert site.status()["restarts"] == 0
    assert metric(site, 'health_checks_failed_total{answer="301"}') == 0


def test_app_that_forces_https_and_does_not_trust_the_field(site: Site) -> None:
    site.start(health_timeout_ms=1500, health_status="200-399")
    site.commit("stubborn", forces_https="never")

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert "answered 301 (to https://127.0.0.1:" in str(reply.body["error"])
    assert "the app forces HTTPS: let it trust the check's X-Forwarded-Proto: https" in str(reply.body["hint"])


@pytest.mark.parametrize(
    ("behaviour", "field"),
    [
        ({"health": 404}, "health_endpoint"),
        ({"health": 302, "location": "/login"}, "health_status"),
        ({"health": 302, "location": "http://shop.example/"}, "health_host"),
        ({"host_only": "shop.example"}, "health_host"),
        ({"health": 403}, "health_host"),
        ({"health": 204}, "health_status"),
        ({"deaf": True}, "health_timeout_ms"),
    ],
)
def test_wrong_answer_names_the_field_that_helps(site: Site, behaviour: dict[str, object], field: str) -> None:
    site.start(health_timeout_ms=1000)
    site.commit("wrong", None, **behaviour)

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert field in str(reply.body["hint"])
    done = site.run("deploy", "HEAD")
    assert done.returncode == 1
    assert field in done.stderr


@MODES
def test_wrong_status_of_a_live_app_is_told_by_the_range(site: Site, options: tuple[str, ...]) -> None:
    live(site, *options, health_interval_ms=50, health_status="200-299")
    site.get("/sicken")

    wait_until("it is unhealthy", lambda: not site.status()["healthy"])

    assert "/healthz answered 500, not 200-299, 3 times" in str(site.status()["unhealthy_reason"])
