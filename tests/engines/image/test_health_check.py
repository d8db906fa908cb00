"""The health check that a container does by itself, with each program that an image may have for it."""

import http.server
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import SHIM

CLIENTS = ("bash", "python3", "ruby", "php", "node", "bun", "busybox", "curl", "wget")
OTHERS = ("printf", "cat", "id")


class App(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path says, and where to: `/301?https://there`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, _, location = self.path.removeprefix("/").partition("?")
        is_secure = self.headers["X-Forwarded-Proto"] == "https"
        if self.headers["Host"] == "strange.example":
            status = "403"
        if status == "secure":
            status, location = ("200", "") if is_secure else ("301", "https://127.0.0.1/secure")
        self.send_response(int(status))
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    yield from _served("0.0.0.0")


@pytest.fixture(scope="module")
def local_port() -> Iterator[int]:
    yield from _served("127.0.0.1")


def _served(host: str) -> Iterator[int]:
    with http.server.ThreadingHTTPServer((host, 0), App) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(params=CLIENTS)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with this client and no other one."""
    return with_only(request.param, tmp_path)


def with_only(client: str, folder: Path) -> Path:
    for name in (client, *OTHERS):
        program = shutil.which(name)
        if not program:
            pytest.skip(f"{name} is not installed")
        if "shims" in program:
            program = "/usr/bin/python3"
        (folder / name).write_text(f'#!/bin/dash\nexec {program} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def ask(image: Path, port: int, path: str, statuses: str = "200", host: str = "") -> tuple[int, str]:
    argv = ["/bin/dash", str(SHIM), "health", path, statuses, host]
    env = {"PATH": str(image), "PORT": str(port), "HOME": os.environ["HOME"]}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_statuses(image: Path, port: int) -> None:
    assert ask(image, port, "/200") == (0, "200")
    assert ask(image, port, "/503") == (1, "slot-machine: /503 answered 503, not 200")
    assert ask(image, port, "/204", "200-399") == (0, "204")
    assert ask(image, port, "/404", "404") == (0, "404")


def test_host(image: Path, port: int) -> None:
    assert ask(image, port, "/200", "200", "shop.example") == (0, "200")
    assert ask(image, port, "/200", "200", "strange.example")[0] == 1


def test_redirects(image: Path, port: int) -> None:
    assert ask(image, port, "/302?/login", "200-399") == (0, "302")
    away = "/302?http://other.example/"
    said = f"slot-machine: {away} answered 302 (to http://other.example/), not 200-399"
    assert ask(image, port, away, "200-399") == (1, said)
    assert ask(image, port, "/302?http://other.example/", "302") == (0, "302")


def test_an_app_that_wants_https_is_asked_as_if_it_were(image: Path, port: int) -> None:
    assert ask(image, port, "/secure") == (0, "200")
    assert ask(image, port, "/301?https://127.0.0.1/", "200-399")[0] == 1


def test_nobody_listens(image: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert ask(image, port, "/200") == (1, f"slot-machine: no answer on port {port}")


def test_an_app_that_only_the_container_itself_reaches_is_unhealthy(image: Path, local_port: int) -> None:
    code, said = ask(image, local_port, "/200")
    assert code == 1
    assert "let it listen on 0.0.0.0" in said


def test_an_image_without_any_of_them_is_refused(tmp_path: Path) -> None:
    image = with_only("cat", tmp_path)
    for name in ("setsid", "mktemp", "mkfifo", "sleep", "mkdir", "rm"):
        (image / name).symlink_to("/bin/true")
    argv = ["/bin/dash", str(SHIM), "check"]
    done = subprocess.run(argv, env={"PATH": str(image)}, capture_output=True, text=True, check=False)
    assert done.returncode == 126
    assert "nothing that can ask for the app's health" in done.stderr
