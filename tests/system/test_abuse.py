"""What is done to the daemon in vain: it answers on, it costs what it may cost, and the live app is served."""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from demo.load import Load
from spec.orchestrator import Orchestrator
from spec.waiting import wait_until

from tests.processes import children_of, kill
from tests.world import Site, goes_on, live

FILES = 384
SILENT_CLIENTS = 400
MOST_KB = 32 * 1024
MOST_SENT = 64_000_000
DEPLOYS = 100
SETUP = "test ! -e setup.sh || sh setup.sh"
FLOOD = ["/bin/sh", "-c", "yes 'nobody will ever read this line' | head -c 200000000"]


@pytest.fixture
def bounded(site: Site) -> Iterator[Site]:
    """The live app is served all along, and the daemon's memory stays within bounds."""
    live(site, setup_command=SETUP)
    before_kb = peak_kb(site)
    load = Load(site.port)
    with load.running():
        yield site
        goes_on(load)
    assert load.failures == []
    assert peak_kb(site) - before_kb < MOST_KB


def peak_kb(site: Site) -> int:
    """The most memory that the daemon ever had resident."""
    status = Path(f"/proc/{site.daemons[-1].process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def commit_that_waits(site: Site) -> tuple[Path, str]:
    """Its setup, until that file is there."""
    flag = site.folder / "flag"
    return flag, site.commit("new", {"setup.sh": f"until test -e {flag}; do sleep 0.05; done"})


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_silent_clients_of_the_api_leave_the_daemon_its_file_descriptors(site: Site) -> None:
    binary = site.folder / "slot-machine"
    binary.write_text(f'#!/bin/sh\nulimit -n {FILES} && exec {site.orchestrator.binary} "$@"\n')
    binary.chmod(0o755)
    site.orchestrator = Orchestrator(binary)
    live(site, setup_command=SETUP)
    app = site.get("/pid")
    before_kb = peak_kb(site)
    flag, new = commit_that_waits(site)
    answers: list[int] = []
    deploy = threading.Thread(target=lambda: answers.append(site.post("/deploy", {"commit": new}).status))
    deploy.start()
    wait_until("the setup runs", lambda: site.status()["running"] == "setup")
    with ExitStack() as stack:
        for _ in range(SILENT_CLIENTS):
            stack.enter_context(connect(site.api_port))
        assert site.status()["healthy"] is True
        kill(int(app[1]))
        wait_until("the app is back", lambda: (again := site.get("/pid"))[0] == 200 and again != app)
        flag.touch()
        deploy.join()
        assert (answers, site.serving()) == ([200], "new")
        assert peak_kb(site) - before_kb < MOST_KB


@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_gigabyte_to_the_api_is_refused_early(bounded: Site, framing: str) -> None:
    with connect(bounded.api_port) as client:
        client.sendall(f"POST /deploy HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        part = b"x" * 1_000_000 if "Length" in framing else b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        sent = 0
        while not readable(client):
            client.sendall(part)
            sent += len(part)
        assert client.recv(65_536).startswith(b"HTTP/1.1 413 ")
        assert sent < MOST_SENT
        assert bounded.status()["healthy"] is True


def test_of_many_deploys_at_once_one_runs(bounded: Site) -> None:
    site = bounded
    flag, new = commit_that_waits(site)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(site.post("/deploy", {"commit": "HEAD"}).status))
        for _ in range(DEPLOYS)
    ]
    for thread in threads:
        thread.start()
    wait_until("all others are refused", lambda: len(answers) == DEPLOYS - 1)
    flag.touch()
    for thread in threads:
        thread.join()

    assert Counter(answers) == {200: 1, 409: DEPLOYS - 1}
    assert (site.serving(), site.status()["live_commit"]) == ("new", new)
    assert [row["result"] for row in site.history()] == ["succeeded", "succeeded"]
    assert len(children_of(site.daemons[-1].process.pid, "app.py")) == 1


def test_app_that_floods_its_output_does_not_slow_the_daemon(bounded: Site) -> None:
    site = bounded
    site.commit("flood", child=FLOOD)
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    log = site.data / "slot-b.log"
    wait_until("it floods", lambda: log.stat().st_size > 1_000_000)
    assert site.status()["healthy"] is True
    site.commit("broken", child=FLOOD, exit=3)

    refused = site.post("/deploy", {"commit": "HEAD"})

    assert refused.status == 500
    assert len(str(refused.body)) < 65_536
    assert site.serving() == "flood"
    site.commit("next")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    assert site.serving() == "next"


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
@pytest.mark.parametrize("flood", ["yes 'a line'", "yes 'no end' | tr -d '\\n'"], ids=["lines", "line"])
def test_setup_that_floods_its_output(bounded: Site, flood: str, accept: str) -> None:
    """Whoever follows the deploy reads nothing of it."""
    site = bounded
    commit = site.commit("new", {"setup.sh": f"{flood} | head -c 60000000"})
    body = b'{"commit": "HEAD"}'
    head = f"POST /deploy HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Length: {len(body)}\r\n\r\n"
    with connect(site.api_port) as client:
        client.sendall(head.encode() + body)

        wait_until("it is live", lambda: site.status()["live_commit"] == commit)


def readable(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        client.settimeout(10)
