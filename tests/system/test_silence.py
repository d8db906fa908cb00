"""A stage in which nothing is printed, behind a firewall that drops connections on which nothing is sent."""

import json
import socket
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.daemon.keepalive import ALIVE_S
from slot_machine.daemon.streams import NDJSON
from tests import sshd as servers
from tests.relay import Relay
from tests.sshd import Sshd
from tests.world import Site

SILENT_S = 6
QUIET = "test ! -e quiet || sleep $(cat quiet)"


@pytest.mark.skipif(bool(servers.obstacle()), reason=servers.obstacle())
@pytest.mark.parametrize("alive", [True, False], ids=["kept alive", "not kept alive"])
def test_stage_that_prints_nothing_behind_a_firewall(
    site: Site, sshd: Sshd, server: tuple[str, ...], tmp_path: Path, *, alive: bool
) -> None:
    """Ten minutes behind one that drops connections after a minute, scaled down: our interval is 15 s."""
    quiet = site.commit("quiet", {"quiet": str(SILENT_S)})
    site.start(setup_command=QUIET)
    relay = Relay(sshd.port, idle_s=SILENT_S / 3)
    sshd.lead_to(relay.port)
    sshd.ssh_first(f"-o ServerAliveInterval={1 if alive else 0}")
    try:
        done = sshd.run(*server, "deploy", quiet, cwd=tmp_path)
    finally:
        sshd.forget()
        relay.close()

    if alive:
        assert (done.returncode, done.stdout) == (0, f"deployed {quiet} to slot a\n"), done.stderr
        assert relay.cut == 0
    else:
        assert (done.returncode, "the connection to server was lost" in done.stderr) == (1, True), done.stderr
        assert relay.cut == 1
    wait_until("the deploy has ended", lambda: not site.status()["running"])
    assert site.serving() == "quiet", "the daemon goes on without the client"


@pytest.mark.parametrize("idle_s", [17, 10], ids=["kept alive", "cut"])
def test_stream_of_the_api_behind_a_firewall(site: Site, idle_s: int) -> None:
    """Something is sent every 15 s. The second case shows that the relay does cut."""
    site.commit("quiet", {"quiet": "19"})
    site.start(setup_command=QUIET)
    relay = Relay(site.api_port, idle_s)
    body = b'{"commit": "HEAD"}'
    head = f"POST /deploy HTTP/1.0\r\nHost: localhost\r\nAccept: {NDJSON}\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", relay.port)) as connection:
            connection.sendall(head.encode() + body)
            with connection.makefile("rb") as reply:
                lines = reply.read().partition(b"\r\n\r\n")[2].splitlines()
    finally:
        relay.close()

    assert relay.cut == (idle_s < ALIVE_S)
    assert (json.loads(lines[-1]).get("success") is True) == (idle_s > ALIVE_S)
    wait_until("the deploy has ended", lambda: not site.status()["running"])
    assert site.serving() == "quiet"
