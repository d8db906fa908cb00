"""The first promise: no request fails because of a deploy."""

import pytest
from demo.load import Load
from spec.waiting import wait_until

from tests.world import Site, switch_under_load

SWITCHES = 8


def test_no_request_fails_over_many_switches(site: Site) -> None:
    site.start()

    load = switch_under_load(site, SWITCHES)

    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}


def test_without_a_drain_requests_fail(site: Site) -> None:
    """Shows that the load above would notice: no budget, no drain. Slow POSTs fail, as they may not go out again."""
    site.start(drain_timeout_ms=0)

    assert switch_under_load(site, SWITCHES).failures != []


def test_replace_pauses_requests_and_fails_none(site: Site) -> None:
    site.start(strategy="replace")

    load = switch_under_load(site, 3)

    assert load.failures == []
    assert set(load.answers) == {"v1", "v2"}


@pytest.mark.parametrize("strategy", ["overlap", "replace"])
def test_app_that_waits_for_idle_connections_is_not_killed(site: Site, strategy: str) -> None:
    site.start(strategy=strategy, drain_timeout_ms=1000)
    for version in ("v1", "v2"):
        site.commit(version, patient=True)
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
        assert site.serving() == version
    assert site.daemons[-1].stop() == 0

    for slot in "ab":
        assert "no client is left" in (site.data / f"slot-{slot}.log").read_text()


def test_failed_replace_puts_the_old_version_back_and_fails_no_request(site: Site) -> None:
    site.start(strategy="replace")
    site.commit("v1")
    site.post("/deploy", {"commit": "HEAD"})
    site.commit("broken", exit=3)
    load = Load(site.port)
    with load.running():
        wait_until("the load runs", lambda: load.answers.total() > 20)
        reply = site.post("/deploy", {"commit": "HEAD"})
        wait_until("requests go on", lambda: site.serving() == "v1")

    assert reply.status == 500
    assert load.failures == []
    assert site.status()["healthy"] is True


@pytest.mark.parametrize("commits", [("v1",), ("v1", "v2")])
def test_deploying_the_live_commit_again_serves_on(site: Site, commits: tuple[str, ...]) -> None:
    site.start()
    for version in commits:
        commit = site.commit(version)
        before = site.post("/deploy", {"commit": commit}).body["previous_commit"]

    load = Load(site.port)
    with load.running():
        wait_until("the load runs", lambda: load.answers.total() > 20)
        assert site.post("/deploy", {"commit": commit}).status == 200

    assert load.failures == []
    status = site.status()
    assert (status["live_commit"], status["previous_commit"]) == (commit, before)
