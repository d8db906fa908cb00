"""The recipes of docs/edge.md, as they are printed there, in front of a real daemon."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.https.conftest import ABROAD, Process, curl, until
from tests.https.daemons import Daemon

PAGE = Path(__file__).parents[2] / "docs/edge.md"
FORGED = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: http", "X-Request-Id: 6.6.6.6", "X.Forwarded.For: 6.6.6.6")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory, machine: None) -> Iterator[Daemon]:
    assert machine is None
    daemon = Daemon(tmp_path_factory.mktemp("apps") / "shop", 3000, bind="127.0.0.1").live()
    yield daemon
    assert daemon.process
    daemon.process.stop()


def recipe(heading: str) -> str:
    found = re.search(rf"^### {heading}\n\n```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1].replace("shop.example.com", "shop.test")


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    made = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(tmp_path / "key.pem"),
         "-out", str(tmp_path / "cert.pem"), "-days", "9", "-subj", "/CN=shop.test",
         "-addext", "subjectAltName=DNS:shop.test"],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text((tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text())
    return made


def caddy(folder: Path) -> list[str]:
    text = recipe("Caddy").replace("shop.test {", f"shop.test {{\n\ttls {folder}/cert.pem {folder}/key.pem", 1)
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    program = Path(sys.executable).with_name("caddy")
    return [str(program), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def nginx(folder: Path) -> list[str]:
    text = re.sub(r"/etc/letsencrypt/live/shop\.test/(fullchain|privkey)\.pem", rf"{folder}/both.pem", recipe("nginx"))
    main = f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off;\n{text}\n}}"
    (folder / "nginx.conf").write_text(main)
    return ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]


def haproxy(folder: Path) -> list[str]:
    text = recipe("HAProxy").replace("/etc/haproxy/shop.test.pem", str(folder / "both.pem"))
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


@pytest.mark.parametrize("server", [caddy, nginx, haproxy])
def test_a_recipe(server: Callable[[Path], list[str]], behind: Daemon, pem: Path, tmp_path: Path) -> None:
    assert behind.port == 3000
    env = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    process = Process(server(tmp_path), tmp_path / "server.log", env)
    try:
        url, trusted = "https://shop.test/", ("--cacert", str(tmp_path / "cert.pem"))
        until(lambda: process.process.poll() is not None or curl(*trusted, url).returncode == 0)
        fields = [word for line in FORGED for word in ("-H", line)]
        got = curl(*trusted, *fields, "--http2", "--interface", ABROAD, url).stdout
        assert f"X-Forwarded-For: {ABROAD}, 127.0.0.1\n" in got, process.said()
        assert "X-Forwarded-Proto: https\n" in got
        assert "X-Forwarded-Host: shop.test\n" in got
        posted = curl(*trusted, "--data-binary", f"@{pem}", url).stdout
        assert posted.endswith(f"received {pem.stat().st_size}\n")
    finally:
        process.stop()
