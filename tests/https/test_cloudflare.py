"""The recipe for Cloudflare's proxy in docs/edge.md, with a stand-in for it."""

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from slot_machine.cli.edge_visit import OVER_HTTP, Page, complaint_about
from tests.https.cloudflare import Cloudflare, Mode
from tests.https.conftest import ABROAD, Authority, Edge, curl, until
from tests.https.daemons import Daemon

VISITOR = "203.0.113.9"
TOO_MANY_REDIRECTS = 47
FOLLOWING = ("-L", "--max-redirs", "5")
RECIPE: dict[str, object] = {"trusted_proxies": [f"{ABROAD}/32"], "acme_challenge": "http-01", "bind": "127.0.0.1"}


@pytest.fixture
def cloudflare(tmp_path: Path, start_edge: Callable[..., Edge]) -> Iterator[Callable[..., Cloudflare]]:
    """In front of an edge with one app, whose certificate is internal."""
    subprocess.run(["ip", "addr", "replace", f"{VISITOR}/32", "dev", "lo"], check=True)
    with ExitStack() as stack:

        def start(mode: Mode, **settings: object) -> Cloudflare:
            edge = start_edge(**RECIPE | settings)
            log = str(tmp_path / "access.log")
            shop = Daemon(tmp_path / "shop", 3000, domains=["shop.test"], tls="internal", access_log=log).live()
            assert shop.process
            stack.callback(shop.process.stop)
            until(lambda: shop.domains()["shop.test"][0] == "valid")
            made = Cloudflare(tmp_path, "shop.test", mode, edge.state / "internal/root.pem")
            stack.callback(made.close)
            return made

        yield start


def visit(cloudflare: Cloudflare, url: str, *more: str) -> "subprocess.CompletedProcess[str]":
    way = [word for port in (80, 443) for word in ("--resolve", f"shop.test:{port}:{ABROAD}")]
    return curl(*way, "--interface", VISITOR, "--cacert", str(cloudflare.cert), *more, url)


def complaint(cloudflare: Cloudflare) -> str:
    """Of `edge check`, on a machine that takes the stand-in for Cloudflare."""
    front = ssl.create_default_context(cafile=str(cloudflare.cert))

    def fetch(name: str) -> Page:
        with closing(HTTPSConnection(name, timeout=10, context=front)) as connection:
            connection.sock = front.wrap_socket(socket.create_connection((ABROAD, 443)), server_hostname=name)
            connection.request("GET", "/")
            reply = connection.getresponse()
            return Page(reply.status, reply.getheader("Location", ""))

    return complaint_about("shop.test", lambda _: ["104.16.1.2"], fetch)


def logged(tmp_path: Path, path: str) -> str:
    log = tmp_path / "access.log"
    until(lambda: log.exists() and path in log.read_text())
    return str(next(json.loads(line)["client"] for line in log.read_text().splitlines() if path in line))


def test_the_visitor_is_known_and_not_forged(cloudflare: Callable[..., Cloudflare], tmp_path: Path) -> None:
    front = cloudflare("strict")
    forged = ("-H", "X-Forwarded-For: 6.6.6.6", "-H", "CF-Connecting-IP: 6.6.6.6", "-H", "X-Forwarded-Proto: http")
    got = visit(front, "https://shop.test/through", *forged).stdout
    assert f"X-Forwarded-For: 6.6.6.6, {VISITOR}, {ABROAD}\n" in got
    assert "cf-connecting-ip" not in got.lower()
    assert "X-Forwarded-Proto: https\n" in got
    assert logged(tmp_path, "/through") == VISITOR
    assert visit(front, "http://shop.test/", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}").stdout == (
        "301 https://shop.test/"
    )


def test_who_passes_cloudflare_by_is_not_believed(cloudflare: Callable[..., Cloudflare], tmp_path: Path) -> None:
    cloudflare("strict")
    forged = ("-H", f"X-Forwarded-For: {VISITOR}", "-H", "X-Forwarded-Proto: http")
    got = curl("--cacert", str(tmp_path / "state/internal/root.pem"), *forged, "https://shop.test/by").stdout
    assert "X-Forwarded-For: 127.0.0.1\n" in got
    assert logged(tmp_path, "/by") == "127.0.0.1"


def test_flexible_is_named_and_full_strict_cures_it(cloudflare: Callable[..., Cloudflare]) -> None:
    front = cloudflare("flexible")
    answer = ("-o", "/dev/null", "-w", "%{http_code}")
    assert visit(front, "https://shop.test/", *answer).stdout == "421"
    assert complaint(front) == OVER_HTTP
    front.mode = "strict"
    assert "received" in visit(front, "https://shop.test/", *FOLLOWING).stdout
    assert "received" in visit(front, "http://shop.test/", *FOLLOWING).stdout
    assert complaint(front) == ""


def test_flexible_is_an_endless_redirect_if_cloudflare_is_not_trusted(cloudflare: Callable[..., Cloudflare]) -> None:
    front = cloudflare("flexible", trusted_proxies=[])
    assert visit(front, "https://shop.test/", *FOLLOWING).returncode == TOO_MANY_REDIRECTS
    assert complaint(front) == OVER_HTTP
    front.mode = "strict"
    assert "received" in visit(front, "https://shop.test/", *FOLLOWING).stdout


def test_a_certificate_comes_by_http_through_cloudflare(
    start_edge: Callable[..., Edge], authority: Callable[..., Authority], tmp_path: Path
) -> None:
    """As of a name that leads to Cloudflare alone, for the authority and for the edge's own look."""
    pebble = authority()
    told = json.dumps({"ip": ABROAD})
    assert curl("-d", told, "http://127.0.0.1:8055/set-default-ipv4").returncode == 0
    hosts = Path("/etc/hosts")
    before = hosts.read_text()
    front = Cloudflare(tmp_path, "shop.test", "strict", pebble.roots)
    try:
        hosts.write_text(f"127.0.0.1 localhost\n{ABROAD} shop.test\n")
        edge = start_edge(**RECIPE, acme_ca=pebble.url, acme_ca_roots=str(pebble.roots))
        edge.hold("shop", 3000, "shop.test")
        until(lambda: edge.domain("shop.test").state == "valid")
    finally:
        front.close()
        hosts.write_text(before)
