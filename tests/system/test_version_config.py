"""Each version runs with the configuration of its own commit."""

import json
import os
import shlex
import signal
import sys
from typing import cast

from spec.waiting import wait_until
from spec.web import exchange

from tests.world import Site, serves

FILE = "deploy/app.json"
APP = f"exec {shlex.quote(sys.executable)} -IS app.py"


def commit(site: Site, version: str, **fields: object) -> str:
    """Its start says so in a file beside the trees."""
    config = {"start_command": f"echo {version} >>../starts; {APP}"} | fields
    return site.commit(version, {FILE: json.dumps(config)})


def starts(site: Site) -> list[str]:
    return (site.data / "starts").read_text().split()


def crash(site: Site) -> None:
    pid = cast(int, site.status()["pid"])
    os.kill(pid, signal.SIGKILL)
    wait_until("it was started again", lambda: serves(site) and site.status()["pid"] not in (0, pid))


def test_rollback_and_restart_use_the_commands_of_the_version(site: Site) -> None:
    site.start(app_config=FILE, start_command="false")
    one, two = commit(site, "one"), commit(site, "two", port=1, health_timeout_ms=4000)

    assert site.post("/deploy", {"commit": one}).body["warnings"] == []
    (warning,) = cast(list[str], site.post("/deploy", {"commit": two}).body["warnings"])
    assert warning.startswith(f"{FILE} of {two[:8]}: port differs")
    crash(site)
    assert site.post("/rollback").status == 200
    crash(site)
    site.daemons[-1].stop()
    site.start()
    assert site.serving() == "one"

    assert starts(site) == ["one", "two", "two", "one", "one", "one"]
    assert cast(dict[str, object], site.status()["live_config"])["health_timeout_ms"] == 10_000


def test_root_is_where_the_commands_run(site: Site) -> None:
    site.start(app_config=FILE, start_command="false")
    fields = {"root": "apps/web", "setup_command": "ln -s ../../app.py ../../behaviour.json ."}
    good = site.commit("good", {FILE: json.dumps({"start_command": APP} | fields), "apps/web/README": ""})
    lost = site.commit("lost", {FILE: json.dumps({"start_command": APP, "root": "apps/lost"})})

    assert site.post("/deploy", {"commit": good}).status == 200
    assert site.serving() == "good"
    reply = site.post("/deploy", {"commit": lost})
    assert (reply.status, reply.body["stage"]) == (500, "checkout")
    assert reply.body["error"] == f"root: 'apps/lost' is not a folder in commit {lost[:8]}"
    assert site.serving() == "good"


def test_history_tells_what_each_attempt_used(site: Site) -> None:
    site.start(app_config=FILE, start_command="false")
    one = commit(site, "one")
    bad = site.commit("bad", {FILE: json.dumps({"start_command": APP, "health_timeout_ms": "1 s"})})
    site.post("/deploy", {"commit": one})
    reply = site.post("/deploy", {"commit": bad})

    assert (reply.status, reply.body["stage"]) == (500, "resolve")
    assert str(reply.body["error"]).startswith(f"{FILE} of {bad[:8]}: health_timeout_ms: expected `int`")
    _, text = exchange(site.api_port, "GET", "/history?limit=5")
    failed, first = json.loads(text)
    assert (failed["result"], failed["commit"], failed["config"]) == ("failed", bad, "")
    assert first["config"]["start_command"] == f"echo one >>../starts; {APP}"
    assert json.loads(exchange(site.api_port, "GET", f"/history/{first['id']}")[1]) == first | {"output": {}}
    assert [exchange(site.api_port, "GET", f"/history/{name}")[0] for name in ("99", "x", "")] == [404, 404, 404]
    assert exchange(site.api_port, "GET", "/history?limit=x")[0] == 400
