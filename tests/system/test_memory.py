"""An app that leaks is started afresh beside itself, and a worker as at a switch."""

import json
import shlex
import sys

import msgspec
from demo.load import Load
from spec.waiting import wait_until

from tests.world import Site, goes_on, live

LIMIT_MB = 80
LEAK = "import time; data = bytearray(b'x' * (150 << 20)); time.sleep(600)"
WITHIN_S = 60


def test_app_above_memory_max_mb_is_restarted_without_a_failed_request(site: Site) -> None:
    good = live(site, memory_max_mb=LIMIT_MB)
    _, leaking = site.get("/leak")
    load = Load(site.port)

    with load.running():
        wait_until("another process serves", lambda: site.get("/pid")[1] != leaking, WITHIN_S)
        wait_until("that is over", lambda: site.history()[-1]["result"] == "succeeded")
        goes_on(load)

    assert not load.failures
    attempt = site.history()[-1]
    assert (attempt["kind"], attempt["cause"], attempt["trigger"]) == ("restart", "memory", "memory")
    assert f"above memory_max_mb ({LIMIT_MB})" in str(attempt["warnings"])
    status = site.status()
    assert (status["live_commit"], status["healthy"], status["last_exit"]) == (good, True, "")


def worker_of(site: Site) -> dict[str, object]:
    (found,) = msgspec.convert(site.status()["processes"], list[dict[str, object]])
    return found


def test_worker_above_its_limit_is_replaced_and_the_app_is_not(site: Site) -> None:
    command = shlex.join([sys.executable, "-ISc", LEAK])
    config = site.config | {"processes": {"worker": {"command": command, "memory_max_mb": LIMIT_MB}}}
    (site.repo / "config.json").write_text(json.dumps(config))
    live(site, "--config", "config.json")
    _, app = site.get("/pid")

    wait_until("the worker runs", lambda: worker_of(site)["pid"])
    first = worker_of(site)["pid"]
    wait_until("another one runs", lambda: worker_of(site)["pid"] not in (0, first), WITHIN_S)

    assert f"above memory_max_mb ({LIMIT_MB})" in str(worker_of(site)["last_exit"])
    assert site.get("/pid") == (200, app)
