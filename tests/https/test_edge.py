"""Routes: added and removed while others are in use, refused by name, put back."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from slot_machine.core.errors import EdgeRefused
from slot_machine.edge import link
from slot_machine.edge.wire import Hook, Request
from tests.https.conftest import ABROAD, COMMAND, LIMIT_S, Edge, Process, until
from tests.https.visitors import Load, get, trusting

Start = Callable[..., Edge]
App = Callable[[int], Process]


def test_an_app_comes_and_goes_while_another_is_in_use(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000), app(3001)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    with Load(edge, "shop.test").running() as load, connect("wss://shop.test/", ssl=trusting(edge)) as socket_:
        socket_.send("before")
        for _ in range(5):
            edge.hold("blog", 3001, "blog.test", tls="internal")
            assert "Host: blog.test" in get(edge, "https://blog.test/").stdout
            link.ask(Request(op="withdraw", data="/srv/blog"))
            assert get(edge, "https://blog.test/").returncode
        socket_.send("after")
        assert [socket_.recv(5), socket_.recv(5)] == ["before", "after"]
    assert (load.failed, load.closed) == ([], 0)


def test_http2_and_redirects(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", redirects={"www.shop.test": "shop.test"}, tls="internal")
    assert get(edge, "https://shop.test/", "--http2", "-o", "/dev/null", "-w", "%{http_version}").stdout == "2"
    for url in ("http://shop.test/a?b=c", "http://www.shop.test/a?b=c", "https://www.shop.test/a?b=c"):
        told = get(edge, url, "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}").stdout
        assert told == "301 https://shop.test/a?b=c"
    assert get(edge, "http://other.test/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "404"


@pytest.mark.parametrize(("version", "works"), [("tls1.1", False), ("tls1.2", True), ("tls1.3", True)])
def test_old_tls_is_refused(start_edge: Start, app: App, version: str, works: bool) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    flag = f"--{version.replace('tls', 'tlsv')}"
    top = version.removeprefix("tls")
    assert (get(edge, "https://shop.test/", flag, "--tls-max", top).returncode == 0) == works


def test_where_a_request_comes_from_cannot_be_forged(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    forged = ["X-Forwarded-For: 6.6.6.6", "X-Real-Ip: 6.6.6.6", "X-Forwarded-Host: evil", "X-Forwarded-Proto: http"]
    odd = ["X_Forwarded_For: 6.6.6.6", "X.Forwarded.For: 6.6.6.6", "X!Real!Ip: 6.6.6.6", "X-Request-Id: 6.6.6.6"]
    edges = ["X-Slot-Machine-Edge: 6.6.6.6"]
    fields = [word for line in (*forged, *odd, *edges) for word in ("-H", line)]
    got = get(edge, "https://shop.test/", *fields, "--interface", ABROAD).stdout
    assert "6.6.6.6" not in got
    assert f"X-Forwarded-For: {ABROAD}\n" in got
    assert "X-Forwarded-Proto: https\n" in got
    assert "X-Forwarded-Host: shop.test\n" in got
    assert f"X-Slot-Machine-Edge: {'s' * 30}\n" in got


def test_a_proxy_in_front_is_believed_if_it_is_named(start_edge: Start, app: App) -> None:
    edge = start_edge(trusted_proxies=[f"{ABROAD}/32"])
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    chain = ("-H", "X-Forwarded-For: 203.0.113.9")
    through = get(edge, "https://shop.test/", *chain, "--interface", ABROAD).stdout
    assert f"X-Forwarded-For: 203.0.113.9, {ABROAD}\n" in through
    assert "X-Forwarded-For: 127.0.0.1\n" in get(edge, "https://shop.test/", *chain).stdout


def test_two_apps_with_one_domain(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    with pytest.raises(EdgeRefused, match=r"shop\.test is held by app shop of root"):
        edge.hold("blog", 3001, "Shop.TEST.", tls="internal")
    assert "received" in get(edge, "https://shop.test/").stdout


def test_another_user_cannot_take_or_see_a_name(start_edge: Start) -> None:
    edge = start_edge()
    edge.hold("shop", 3000, "shop.test", tls="internal")
    program = (
        "import os\n"
        "from slot_machine.edge import link\n"
        "from slot_machine.edge.wire import Hook, Request, Wish\n"
        "os.setuid(65534)\n"
        "print(len(link.ask(Request(op='status')).apps))\n"
        "for request in (Request(op='hold', wish=Wish(app='x', data='/srv/shop', port=1, domains=('shop.test',))),\n"
        "                Request(op='remove', domain='shop.test'), Request(op='renew')):\n"
        "    try: print(link.ask(request))\n"
        "    except Exception as error: print(error)\n"
        "link.ask(Request(op='withdraw', data='/srv/shop'))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert told[0] == "0"
    assert "shop.test is held by app shop of root" in told[1]
    assert "shop.test belongs to root" in told[2]
    assert "only root" in told[3]
    assert edge.domain("shop.test").state == "valid"


def test_a_foreign_file_is_set_aside_while_others_are_in_use(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000), app(3001)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    with Load(edge, "shop.test").running() as load:
        foreign = edge.state / "routes/mine.yml"
        foreign.write_text("http: {broken")
        until(lambda: not foreign.exists())
        edge.hold("blog", 3001, "blog.test", tls="internal")
        assert "received" in get(edge, "https://blog.test/").stdout
    assert (load.failed, load.closed) == ([], 0)
    assert "mine.yml is not of the edge" in edge.said()
    assert [path.read_text() for path in (edge.state / "set-aside").iterdir()] == ["http: {broken"]


def test_what_traefik_does_not_take_on_is_refused_and_the_rest_stays(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    os.kill(edge.traefik, signal.SIGSTOP)
    stopped = edge.traefik
    try:
        with pytest.raises(EdgeRefused, match=r"blog\.test.*Traefik does not answer"):
            edge.hold("blog", 3001, "blog.test", tls="internal")
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert [app.app for app in link.ask(Request(op="status")).apps] == ["shop"]
    assert "blog.test" not in (edge.state / "routes/routes.yml").read_text()
    assert "received" in get(edge, "https://shop.test/").stdout


def test_traefik_is_started_again_when_it_dies(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    killed = edge.traefik
    os.kill(killed, signal.SIGKILL)
    until(lambda: edge.traefik not in (0, killed))
    until(lambda: "received" in get(edge, "https://shop.test/").stdout)


def test_an_edge_that_is_killed_comes_back_as_it_was(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    certificate = edge.domain("shop.test").expires
    edge.stop(kill=True)
    edge.start()
    assert "received" in get(edge, "https://shop.test/").stdout
    assert edge.domain("shop.test").expires == certificate


def test_an_edge_that_is_killed_comes_back_on_a_full_disk(start_edge: Start, app: App, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(state)], check=True)
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    with pytest.raises(OSError, match="No space left"):
        (state / "fill").write_bytes(bytes(2 << 20))
    with pytest.raises(EdgeRefused, match=r"blog\.test: .*No space left on device"):
        edge.hold("blog", 3001, "blog.test", tls="internal")
    edge.stop(kill=True)
    edge.start()
    assert "received" in get(edge, "https://shop.test/").stdout


def test_events_and_uploads_take_their_time(start_edge: Start, app: App, tmp_path: Path) -> None:
    edge = start_edge()
    app(3000)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    events = get(edge, "https://shop.test/events", "-N", "-m", "3").stdout
    assert events.count("data: x") >= 5
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    for version in ("--http1.1", "--http2"):
        slow = ("--data-binary", f"@{tmp_path / 'large'}", "--limit-rate", "1M", version)
        assert get(edge, "https://shop.test/", *slow).stdout.endswith("received 3000000\n")


def test_a_slow_head_on_the_http_port_is_ended(start_edge: Start) -> None:
    start_edge()
    with socket.create_connection(("127.0.0.1", 80)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n")
        began_s = time.monotonic()
        client.settimeout(60)
        while client.recv(1000):
            pass
        assert time.monotonic() - began_s < 60


def test_status_for_people_and_programs(start_edge: Start) -> None:
    edge = start_edge()
    edge.hold("shop", 3000, "shop.test", tls="internal")
    people = subprocess.run([*COMMAND, "edge", "status"], capture_output=True, text=True, check=True)
    assert "https://shop.test  certificate valid, ends in " in people.stdout
    program = subprocess.run([*COMMAND, "edge", "status", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(program.stdout)["apps"][0]["domains"][0]["state"] == "valid"
    removed = subprocess.run([*COMMAND, "edge", "remove", "SHOP.test"], capture_output=True, text=True, check=True)
    assert removed.stdout == "removed SHOP.test\n"
    assert link.ask(Request(op="status")).apps == ()


def test_without_an_edge(machine: None) -> None:
    assert machine is None
    told = subprocess.run([*COMMAND, "edge", "status"], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "no edge runs on this machine" in told.stderr


def test_a_webhook_has_a_path_of_a_name(start_edge: Start, app: App) -> None:
    edge = start_edge()
    app(3000), app(3001)
    for domain in ("shop.test", "other.test"):
        hook = Hook(domain=domain, path="/.slot-machine/hook", port=3001)
        edge.hold("shop", 3000, "shop.test", tls="internal", hook=hook)
        assert "X-Slot-Machine-Edge" not in get(edge, f"https://{domain}/.slot-machine/hook").stdout
        assert "received" in get(edge, f"https://{domain}/.slot-machine/hook").stdout
        assert "X-Slot-Machine-Edge" in get(edge, "https://shop.test/").stdout
    assert get(edge, "https://other.test/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "404"
    with pytest.raises(EdgeRefused, match="is no path"):
        edge.hold("shop", 3000, "shop.test", tls="internal", hook=Hook(domain="shop.test", path="/`", port=1))


def test_http3(start_edge: Start, app: App) -> None:
    """Switched on by an app that wants it, without losing a request of another one.

    For that, Traefik is replaced, and the old one closes a kept connection between two requests.
    """
    edge = start_edge()
    app(3000), app(3001)
    edge.hold("shop", 3000, "shop.test", tls="internal")
    with Load(edge, "shop.test").running() as load:
        edge.hold("blog", 3001, "blog.test", tls="internal", http3=True)
    assert (load.failed, load.closed <= 1) == ([], True)
    assert 'h3=":443"' in get(edge, "https://blog.test/", "-D", "-").stdout
    client = [
        sys.executable,
        str(Path(__file__).with_name("h3.py")),
        "blog.test",
        str(edge.state / "internal/root.pem"),
    ]
    forged = subprocess.run([*client, "2000000"], capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert forged.stdout.startswith("200\n"), forged.stderr
    assert forged.stdout.rstrip().endswith("received 2000000")
    assert "X-Forwarded-Proto: https\n" in forged.stdout
