"""A machine of its own for these tests: `make test-edge` runs them in a network and a file system of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slot_machine.edge import link
from slot_machine.edge.wire import AppStatus, DomainStatus, Request, Wish

NAMES = "shop.test www.shop.test blog.test other.test own.test third.test"
LIMIT_S = 30.0
COMMAND = [sys.executable, "-m", "slot_machine"]
ABROAD = "198.51.100.7"
"""An address of this machine from which clients come."""


@pytest.fixture(scope="session", autouse=True)
def machine() -> None:
    devices = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    if devices != ["lo"] or os.geteuid():
        pytest.skip("needs a network of its own: run `make test-edge` as root")
    for command in (
        "ip link set lo up",
        f"ip addr add {ABROAD}/32 dev lo",
        "mount --make-rprivate /",
        "mount -t tmpfs tmpfs /run",
    ):
        subprocess.run(command.split(), check=True)
    hosts = Path("/run/hosts")
    hosts.write_text(f"127.0.0.1 localhost {NAMES}\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)


def until(met: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    end_s = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < end_s, "it did not come true"
        time.sleep(0.05)


class Process:
    """Ends with the test. Its output is in a file."""

    def __init__(self, command: list[str], output: Path, env: dict[str, str] | None = None) -> None:
        self.output = output
        with output.open("ab") as file:
            environment = os.environ | (env or {})
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def stop(self, *, kill: bool = False) -> None:
        if self.process.poll() is None:
            (self.process.kill if kill else self.process.terminate)()
        self.process.wait(LIMIT_S)


class Authority:
    """Pebble, whose clients trust `roots`. `valid_s` is the life of its certificates."""

    def __init__(self, place: Path, port: int, valid_s: int) -> None:
        place.mkdir()
        self.url = f"https://127.0.0.1:{port}/dir"
        self.roots = place / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(place / "key.pem"),
             "-out", str(self.roots), "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        config = {
            "listenAddress": f"127.0.0.1:{port}",
            "managementListenAddress": f"127.0.0.1:{port + 1}",
            "certificate": str(self.roots),
            "privateKey": str(place / "key.pem"),
            "httpPort": 80,
            "tlsPort": 443,
            "certificateValidityPeriod": valid_s,
        }
        (place / "pebble.json").write_text(json.dumps({"pebble": config}))
        env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        command = ["pebble", "-config", str(place / "pebble.json"), "-dnsserver", "127.0.0.1:8053"]
        self.process = Process(command, place / "log", env)
        self._management = f"https://127.0.0.1:{port + 1}"
        until(lambda: "Listening on" in self.process.said())

    def issued(self) -> int:
        return self.process.said().count("Issued certificate serial")

    def root(self, place: Path) -> Path:
        """The certificate that signs, for clients."""
        got = subprocess.run(
            ["curl", "-sk", "-m", "5", f"{self._management}/roots/0"], check=True, capture_output=True
        ).stdout
        (place / "root.pem").write_bytes(got)
        return place / "root.pem"


@pytest.fixture
def dns(tmp_path: Path) -> Iterator[Process]:
    options = "-defaultIPv4=127.0.0.1 -defaultIPv6= -dns01=:8053 -http01= -https01= -tlsalpn01="
    process = Process(["pebble-challtestsrv", *options.split()], tmp_path / "dns.log")
    yield process
    process.stop()


class Edge:
    """The service, as a person starts it."""

    def __init__(self, place: Path, **settings: object) -> None:
        self.place = place
        self.state = place / "state"
        self.file = place / "edge.json"
        self.file.write_text(json.dumps({"state": "state", "bind": "", **settings}))
        self._count = 0
        self.start()

    def start(self) -> None:
        self._count += 1
        self.service = Process(
            [*COMMAND, "edge", "start", "--config", str(self.file)], self.place / f"edge-{self._count}.log"
        )
        until(lambda: "ready: Traefik" in self.said() or self.service.process.poll() is not None)
        assert self.service.process.poll() is None, self.said()

    def said(self) -> str:
        return self.service.said()

    def hold(self, app: str, port: int, *domains: str, **more: object) -> None:
        wish = Wish(app=app, data=f"/srv/{app}", port=port, domains=domains, secret="s" * 30, **more)  # type: ignore[arg-type]
        link.ask(Request(op="hold", wish=wish))

    def domain(self, name: str) -> DomainStatus:
        apps = link.ask(Request(op="status")).apps
        return next(domain for app in apps for domain in app.domains if domain.domain == name)

    def apps(self) -> tuple[AppStatus, ...]:
        return link.ask(Request(op="status")).apps

    @property
    def traefik(self) -> int:
        """The pid of the latest."""
        found = subprocess.run(
            ["pgrep", "-n", "-P", str(self.service.process.pid), "traefik"], capture_output=True, text=True, check=False
        )
        return int(found.stdout or 0)

    def stop(self, *, kill: bool = False) -> None:
        self.service.stop(kill=kill)


@pytest.fixture
def start_edge(tmp_path: Path) -> Iterator[Callable[..., Edge]]:
    with contextlib.ExitStack() as stack:

        def start(**settings: object) -> Edge:
            edge = Edge(tmp_path, **settings)
            stack.callback(edge.stop)
            return edge

        yield start


@pytest.fixture
def authority(tmp_path: Path, dns: Process) -> Iterator[Callable[..., Authority]]:
    assert dns
    with contextlib.ExitStack() as stack:

        def start(port: int = 14000, valid_s: int = 90 * 86_400) -> Authority:
            made = Authority(tmp_path / f"pebble-{port}", port, valid_s)
            stack.callback(made.process.stop)
            return made

        yield start


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    for tool in ("pebble", "pebble-challtestsrv", "curl", "openssl", "ip"):
        assert shutil.which(tool), f"{tool} is missing: `make test-edge` installs it"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Callable[[int], Process]]:
    with contextlib.ExitStack() as stack:

        def start(port: int) -> Process:
            process = Process(
                [sys.executable, str(Path(__file__).with_name("app.py")), str(port)], tmp_path / f"app-{port}.log"
            )
            stack.callback(process.stop)
            until(lambda: "listens" in process.said())
            return process

        yield start


def curl(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["curl", "-s", "-m", "10", *args], capture_output=True, text=True, check=False)
