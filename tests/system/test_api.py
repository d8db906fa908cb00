"""The HTTP API: statuses, shapes, its guard against web pages, and the stream of a deploy."""

import json
import socket
import sqlite3

import pytest
from spec.waiting import wait_until
from spec.web import call

from tests.world import Headers, Site, ask


def test_ready_and_empty_status(site: Site) -> None:
    site.start()
    site.commit("v1")

    assert ask(site, "GET", "/", {})[0] == 200
    status = site.status()
    texts = ("live_slot", "live_commit", "previous_slot", "previous_commit", "last_deploy_time")
    assert {status[name] for name in texts} == {""}
    assert status["healthy"] is False
    assert None not in status.values()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"commit": null}', b'{"commit": 1}', b'"HEAD"', b"\xff"])
def test_bad_body(idle_site: Site, body: bytes) -> None:
    status, reply = ask(idle_site, "POST", "/deploy", {}, body)

    assert status == 400
    assert json.loads(reply)["success"] is False


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example:9100"}, 403),
        ({"Host": "192.0.2.1"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Host": "evil.example@localhost"}, 403),
        ({"Host": "localhost:9100.evil.example"}, 403),
        ({"Host": "localhost:9100@evil.example"}, 403),
        ({"Host": "localhost/evil.example"}, 403),
        ({"Host": "localhost:9100?"}, 403),
        ({"Host": "127.1"}, 403),
        ({"Host": "[::1]evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Host": "localhost:9100"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "[::1]:9100"}, 200),
        ({"Host": "localhost:9100", "Origin": "http://localhost:9100"}, 200),
    ],
)
def test_web_pages_cannot_use_it(idle_site: Site, headers: Headers, status: int) -> None:
    assert ask(idle_site, "GET", "/status", headers)[0] == status
    if status == 403:
        assert ask(idle_site, "POST", "/rollback", headers)[0] == 403


def test_it_listens_on_loopback_only(idle_site: Site) -> None:
    with open("/proc/net/tcp") as table:
        listening = {line.split()[1] for line in table if line.split()[3] == "0A"}

    assert [address for address in listening if address.endswith(f":{idle_site.api_port:04X}")] == [
        f"0100007F:{idle_site.api_port:04X}"
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/deploy", 405), ("POST", "/", 405)]
)
def test_unknown_requests_get_json_too(idle_site: Site, method: str, path: str, status: int) -> None:
    assert call(idle_site.api_port, method, path).status == status


def test_defect_is_answered_as_json(site: Site) -> None:
    daemon = site.start()
    with sqlite3.connect(site.data / "state.db") as db:
        db.execute("ALTER TABLE state RENAME TO gone")
    db.close()

    status, reply = ask(site, "GET", "/status", {})

    assert status == 500
    assert json.loads(reply)["error"] == "unexpected OperationalError: no such table: state"
    assert "Traceback" in daemon.log.read_text()
    assert "no such table: state" in site.run("reload").stderr
    assert daemon.stop() == 0, "the database keeps no stop from ending the data plane"


def test_huge_body_is_refused(idle_site: Site) -> None:
    assert ask(idle_site, "POST", "/deploy", {}, b"x" * 1_000_000)[0] == 413


def test_stream_tells_each_stage_and_ends_with_the_reply(site: Site) -> None:
    site.start(setup_command="echo one; echo two")
    commit = site.commit("v1")

    status, text = ask(site, "POST", "/deploy", {"Accept": "application/x-ndjson"}, b'{"commit": "HEAD"}')

    *lines, reply = map(json.loads, text.splitlines())
    assert status == 200
    requests = reply.pop("requests")
    assert reply == {"success": True, "slot": "a", "commit": commit, "previous_commit": "", "warnings": []}
    assert requests["finished"] == 0
    stages = [line["stage"] for line in lines if line["event"] == "finished"]
    assert stages == ["resolve", "checkout", "setup", "start", "health", "switch", "drain"]
    why, *printed = [line["message"] for line in lines if line["event"] == "output"]
    assert why.startswith("runs: ")
    assert printed == ["one", "two"]
    assert all({"event", "stage", "message", "seconds", "app"} == set(line) for line in lines)


def test_long_line_is_cut_in_the_stream_and_whole_in_the_log(site: Site) -> None:
    site.start(setup_command="sh setup.sh")
    site.commit("v1", {"setup.sh": "head -c 100000 /dev/zero | tr '\\0' x; printf '\\n\\377\\rlast'"})

    _, text = ask(site, "POST", "/deploy", {"Accept": "application/x-ndjson"}, b'{"commit": "HEAD"}')

    messages = [line["message"] for line in map(json.loads, text.splitlines()) if line.get("event") == "output"]
    assert messages[1:] == [f"{'x' * 16_384} ... (83616 bytes more)", "\\xff\rlast"]
    assert (site.data / "slot-a.log").read_bytes().startswith(b"x" * 100_000 + b"\n\xff\rlast\nbooting")


def test_stream_of_a_refusal_has_its_own_status(site: Site) -> None:
    site.start()
    site.commit("v1")
    accept = {"Accept": "application/x-ndjson"}

    assert ask(site, "POST", "/deploy", accept, b'{"commit": "nothing"}')[0] == 422
    assert ask(site, "POST", "/rollback", accept)[0] == 409


def test_stream_of_a_failure_ends_with_the_error(site: Site) -> None:
    site.start()
    site.commit("bad", exit=5)

    _, text = ask(site, "POST", "/deploy", {"Accept": "application/x-ndjson"}, b'{"commit": "HEAD"}')

    *lines, reply = map(json.loads, text.splitlines())
    assert (reply["success"], reply["stage"]) == (False, "health")
    assert [line["stage"] for line in lines if line["event"] == "failed"] == ["health"]


def test_deploy_goes_on_when_the_client_leaves(site: Site) -> None:
    site.start(setup_command="until test -e ../../../go; do sleep 0.05; done")
    commit = site.commit("v1")
    body = b'{"commit": "HEAD"}'
    with socket.create_connection(("127.0.0.1", site.api_port)) as client:
        client.sendall(b"POST /deploy HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        wait_until("it is deployed", lambda: site.status()["running"] == "setup")
    (site.folder / "go").touch()

    wait_until("the deploy is done", lambda: site.status()["live_commit"] == commit)
