"""Whole daemons behind the edge: what a visitor gets, what the app is told, who is refused."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.https.conftest import ABROAD, LIMIT_S, Edge, curl, until
from tests.https.daemons import Daemon

Start = Callable[..., Edge]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    with ExitStack() as stack:

        def make(name: str, port: int, **fields: object) -> Daemon:
            made = Daemon(tmp_path / name, port, **fields)
            stack.callback(lambda: made.process.stop() if made.process else None)
            return made

        yield make


def get(edge: Edge, url: str, *more: str) -> str:
    return curl("--cacert", str(edge.state / "internal/root.pem"), *more, url).stdout


def test_a_request_through_both_hops(start_edge: Start, daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    edge = start_edge(trusted_proxies=[f"{ABROAD}/32"])
    log = tmp_path / "access.log"
    shop = daemon("shop", 3000, domains=["shop.test"], tls="internal", access_log=str(log)).live()
    until(lambda: shop.domains() == {"shop.test": ("valid", "")})
    forged = ("-H", "CF-Connecting-IP: 6.6.6.6", "-H", "X_Real_Ip: 6.6.6.6", "-H", "X-Request-Id: 6.6.6.6")
    chain = ("-H", "X-Forwarded-For: 6.6.6.6, 203.0.113.9")
    through = get(edge, "https://shop.test/", *forged, *chain, "--interface", ABROAD)
    assert f"X-Forwarded-For: 6.6.6.6, 203.0.113.9, {ABROAD}\n" in through
    assert "X-Forwarded-Proto: https\n" in through
    assert "X-Forwarded-Host: shop.test\n" in through
    assert through.count("6.6.6.6") == 1
    assert "Edge" not in through
    request_id = through.partition("X-Request-Id: ")[2].partition("\n")[0]
    # The last one that no trusted proxy has.
    until(lambda: log.exists() and request_id in log.read_text())
    entry = next(json.loads(line) for line in log.read_text().splitlines() if request_id in line)
    assert entry["client"] == "203.0.113.9"
    direct = get(edge, "https://shop.test/", *forged, *chain)
    assert "X-Forwarded-For: 127.0.0.1\n" in direct
    assert "6.6.6.6" not in direct


def test_others_on_this_machine_are_not_believed(start_edge: Start, daemon: Callable[..., Daemon]) -> None:
    start_edge()
    shop = daemon("shop", 3000, domains=["shop.test"], tls="internal").live()
    forged = ("-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Forwarded-Proto: https", "-H", "X-Slot-Machine-Edge: guess")
    got = curl(*forged, f"http://127.0.0.1:{shop.port}/").stdout
    assert "X-Forwarded-For: 127.0.0.1\n" in got
    assert "X-Forwarded-Proto: http\n" in got
    assert curl("-o", "/dev/null", f"http://{ABROAD}:{shop.port}/").returncode == 7


def test_two_apps_with_one_domain(start_edge: Start, daemon: Callable[..., Daemon]) -> None:
    edge = start_edge()
    shop = daemon("shop", 3000, domains=["shop.test"], tls="internal").live()
    until(lambda: shop.domains()["shop.test"][0] == "valid")
    blog = daemon("blog", 3001, domains=["SHOP.test"], tls="internal")
    refused = blog.start()
    assert refused.process.wait(LIMIT_S) == 1
    assert "shop.test is held by app shop of root" in refused.said()
    blog.fields["domains"] = ["blog.test"]
    blog.write()
    blog.live()
    until(lambda: blog.domains()["blog.test"][0] == "valid")
    blog.fields["domains"] = ["blog.test", "shop.test"]
    blog.write()
    reload = blog.run("reload")
    assert reload.returncode == 1
    assert "shop.test is held by app shop of root" in reload.stderr
    assert "Host: blog.test" in get(edge, "https://blog.test/")
    blog.fields["domains"] = []
    blog.write()
    assert blog.run("reload").returncode == 0
    until(lambda: [app.app for app in edge.apps()] == ["shop"])


def test_a_deploy_does_not_touch_the_edge(start_edge: Start, daemon: Callable[..., Daemon]) -> None:
    edge = start_edge()
    shop = daemon("shop", 3000, domains=["shop.test"], tls="internal").live()
    until(lambda: shop.domains()["shop.test"][0] == "valid")
    before = edge.state.joinpath("routes/routes.yml").stat().st_mtime_ns
    assert shop.run("restart").returncode == 0
    assert "received" in get(edge, "https://shop.test/")
    assert edge.state.joinpath("routes/routes.yml").stat().st_mtime_ns == before


def test_a_daemon_starts_before_the_edge(start_edge: Start, daemon: Callable[..., Daemon]) -> None:
    shop = daemon("shop", 3000, domains=["shop.test"], tls="internal").live()
    assert "no edge runs on this machine" in shop.domains()["shop.test"][1]
    edge = start_edge()
    until(lambda: shop.domains()["shop.test"][0] == "valid")
    assert "received" in get(edge, "https://shop.test/")
    assert "https://shop.test certificate valid, ends in" in shop.run("status").stdout


def test_own_certificates(start_edge: Start, daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    start_edge()
    pair = {name: str(tmp_path / f"{name}.pem") for name in ("cert", "key")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pair["key"], "-out", pair["cert"],
         "-days", "90", "-subj", "/CN=own.test", "-addext", "subjectAltName=DNS:own.test"],
        check=True, capture_output=True,
    )  # fmt: skip
    shop = daemon("shop", 3000, domains=["own.test"], tls=pair).live()
    until(lambda: shop.domains()["own.test"][0] == "valid")
    assert "received" in curl("--cacert", pair["cert"], "https://own.test/").stdout
