"""The stage `rehearse`, with a real app."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

from spec.waiting import wait_until

from slot_machine.core.safe_paths import LEAST_VISITS
from tests.processes import kill_daemon
from tests.world import MODES, Site, fail_after

PATHS = ["/", "/pricing"]


@MODES
def test_page_that_is_broken_now_fails_the_deploy(site: Site, options: tuple[str, ...]) -> None:
    site.start(*options, rehearse=PATHS)
    good = site.commit("good")
    assert site.post("/deploy", {"commit": good}).status == 200
    site.commit("bad", broken=["/pricing"])

    reply = fail_after(site, good, "rehearse")

    error = str(reply.body["error"])
    assert error.startswith("/pricing was answered 500, and 200 by the live version")
    assert "no template for /pricing, asked with 1" in error
    site.commit("worse", broken=PATHS)
    assert "booting bad" not in str(fail_after(site, good, "rehearse").body), "it has the lines of this run alone"
    site.commit("repaired")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert "rehearse" in str(site.history()[-1]["stage_seconds"])
    assert site.serving() == "repaired"


def test_app_that_forces_https_is_asked_as_the_proxy_in_front_would(site: Site) -> None:
    site.start(rehearse=PATHS)
    site.commit("bad", forces_https="https", broken=["/pricing"])

    reply = site.post("/deploy", {"commit": "HEAD"})

    assert reply.body["stage"] == "rehearse"
    assert str(reply.body["error"]).startswith("/pricing was answered 500")


def test_pages_are_asked_for_by_the_name_that_visitors_know(site: Site) -> None:
    site.start(rehearse=PATHS, public_url="https://shop.example.com", health_status=301)
    site.commit("moved", forces_https="never")

    done = site.run("deploy")

    assert done.returncode == 0, done
    assert "/pricing was answered 301 (to https://shop.example.com/pricing)\n" in done.stderr
    assert "no page was rehearsed" in done.stderr


def test_recent_paths_are_those_that_visitors_asked_for_without_cookies(site: Site) -> None:
    site.start(rehearse="recent")
    site.commit("good")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    for _ in range(LEAST_VISITS):
        for path in ("/pricing", "/logout", "/search?q=1"):
            assert site.get(path)[0] == 200
        with closing(HTTPConnection("127.0.0.1", site.port, timeout=20)) as connection:
            connection.request("GET", "/account", headers={"Cookie": "session=1"})
            assert connection.getresponse().status == 200
    site.commit("bad", broken=["/pricing", "/account", "/logout", "/search"])

    refused = site.run("deploy")

    assert refused.returncode == 1
    assert "asks for /pricing\n" in refused.stderr
    assert "/pricing was answered 500, and 200 by the live version\n" in refused.stderr


def test_kill_of_the_daemon_meanwhile_leaves_what_was_live(site: Site) -> None:
    site.start(rehearse=["/held"])
    go = site.data / "release"
    go.touch()
    good = site.commit("good")
    assert site.post("/deploy", {"commit": good}).status == 200
    go.unlink()
    (site.data / "held").unlink()
    app, next_one = site.get("/pid"), site.commit("next")
    with ThreadPoolExecutor() as pool:
        pool.submit(site.post, "/deploy", {"commit": next_one})
        wait_until("it is rehearsed", (site.data / "held").exists)
        kill_daemon(site)
    site.start()

    assert (site.status()["live_commit"], site.get("/pid")) == (good, app)
    assert (site.history()[1]["result"], site.history()[1]["stage"]) == ("interrupted", "rehearse")
    go.touch()
    assert site.post("/deploy", {"commit": next_one}).status == 200
    assert site.serving() == "next"
