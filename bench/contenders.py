"""The app and the proxies in front of it. Each is a set of processes that listens on its own port."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from demo.__main__ import free_port, git, start

APP_CONF = """
user root; daemon off; worker_processes 1; pid app.pid; error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_timeout 600; keepalive_requests 1000000000; sendfile on; root .;
  client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server { listen 127.0.0.1:@PORT@ backlog=4096; location /small { return 200 "Hello from a small reply.\\n"; }
           location /healthz { return 200 "ok"; } location / { }
           location /upload { proxy_pass http://127.0.0.1:@PORT@/small; proxy_pass_request_body off;
                              proxy_set_header Content-Length ""; client_body_buffer_size 2m; } } }
"""
VARIABLES = "s/@PORT@/$PORT/; s/@SLOT@/$SLOT_MACHINE_SLOT/"
"""A program for sed."""
NGINX_CONF = """
user root; daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off; keepalive_timeout 600; keepalive_requests 1000000000;
  client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  upstream app { server 127.0.0.1:@APP@; keepalive 256; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:@PORT@ backlog=4096; location / {
    proxy_request_buffering off; proxy_pass http://app;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Request-Id $request_id; } } }
"""
HAPROXY_CONF = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  option http-keep-alive
  http-reuse always
frontend front
  bind 127.0.0.1:@PORT@ backlog 4096
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Request-Id %[uuid()]
  default_backend app
backend app
  server app 127.0.0.1:@APP@
"""


class Contender(NamedTuple):
    """`pids` are the processes that carry traffic. For the app alone, `pids` is empty."""

    name: str
    version: str
    port: int
    pids: list[int]

    def cpu_ns(self) -> int:
        """CPU time so far, of all threads."""
        schedstats = [path for pid in self.pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(path.read_text().split()[0]) for path in schedstats)

    def memory_kb(self) -> int:
        return sum(resident_kb(pid) for pid in self.pids)


def resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def missing() -> list[str]:
    """Programs that `make bench` needs, does not install, and does not find on the PATH."""
    return [name for name in ("nginx", "haproxy", "wrk") if not shutil.which(name)]


@contextmanager
def contenders(slot_machine: str) -> Iterator[tuple[list[Contender], "Site"]]:
    """Runs all contenders. All use one app, but slot-machine starts its own copy of it."""
    with tempfile.TemporaryDirectory(prefix="slot-machine-bench-") as name:
        folder = Path(name)
        running: list[subprocess.Popen[bytes]] = []
        site, bare = Site(slot_machine, folder / "proxy"), Site(slot_machine, folder / "no-proxy", "--no-proxy")
        try:
            app_port = free_port()
            running.append(nginx(folder / "app", APP_CONF, app_port, 0, site.files))
            found = [Contender("nothing", "", app_port, [])]
            found += [bare.start(), site.start()]
            port = free_port()
            running.append(nginx(folder / "nginx", NGINX_CONF, port, app_port))
            found.append(Contender("nginx", version("nginx", "-v"), port, children(running[-1].pid)))
            port = free_port()
            running.append(run(folder / "haproxy", HAPROXY_CONF, port, app_port, ["haproxy", "-db", "-f", "conf"]))
            found.append(Contender("HAProxy", version("haproxy", "-v"), port, [running[-1].pid]))
            caddy = Path(sys.executable).with_name("caddy")
            port = free_port()
            argv = [str(caddy), "reverse-proxy", "--from", f"http://127.0.0.1:{port}", "--to", f"127.0.0.1:{app_port}"]
            running.append(run(folder / "caddy", "", port, app_port, argv))
            found.append(
                Contender("Caddy", f"Caddy {version(str(caddy), 'version').split()[0]}", port, [running[-1].pid])
            )
            yield found, site
        finally:
            site.stop()
            bare.stop()
            for process in running:
                process.terminate()
                process.wait()


class Site:
    """A repository with the app, and a daemon that has deployed it."""

    def __init__(self, slot_machine: str, folder: Path, *options: str, conf: str = APP_CONF) -> None:
        """`options` go to the command `start`. `conf` is that of the app; `@SLOT@` in it is the slot of the version."""
        self.slot_machine = slot_machine
        self.options = options
        self.conf = conf
        self.repo = folder / "repo"
        self.port, self.api_port = free_port(), free_port()
        self.files = {"10k": b"x" * 10_000, "1m": b"x" * 1_000_000}
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> Contender:
        self.repo.mkdir(parents=True)
        config = {
            "start_command": f'sed "{VARIABLES}" app.conf > live.conf && exec nginx -p "$PWD" -c live.conf',
            "port": self.port,
            "api_port": self.api_port,
        }
        (self.repo / "slot-machine.json").write_text(json.dumps(config))
        (self.repo / ".gitignore").write_text(".slot-machine\n")
        (self.repo / "app.conf").write_text(self.conf)
        for name, content in self.files.items():
            (self.repo / name).write_bytes(content)
        git(self.repo, "init", "--quiet")
        git(self.repo, "add", "--all")
        git(self.repo, "commit", "--quiet", "--message", "app")
        self.daemon = start([self.slot_machine, "start", *self.options], self.repo, self.api_port)
        self.deploy()
        name = " ".join(["slot-machine", *self.options])
        return Contender(name, version(self.slot_machine, "version"), self.port, self.workers())

    def workers(self) -> list[int]:
        """The pids of now: a worker that was killed has a successor."""
        assert self.daemon
        return [pid for pid in children(self.daemon.pid) if "(proxy " in command(pid)]

    def deploy(self) -> None:
        git(self.repo, "commit", "--quiet", "--allow-empty", "--message", "next")
        subprocess.run([self.slot_machine, "deploy"], cwd=self.repo, check=True, capture_output=True)

    def stop(self) -> None:
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()


def nginx(
    folder: Path, conf: str, port: int, app_port: int, files: dict[str, bytes] | None = None
) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    for name, content in (files or {}).items():
        (folder / name).write_bytes(content)
    return run(folder, conf, port, app_port, ["nginx", "-p", str(folder), "-c", "conf"])


def run(folder: Path, conf: str, port: int, app_port: int, argv: list[str]) -> "subprocess.Popen[bytes]":
    """Returns when it listens."""
    folder.mkdir(exist_ok=True)
    (folder / "conf").write_text(conf.replace("@PORT@", str(port)).replace("@APP@", str(app_port)))
    env = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, env=env)
    while not listening(port):
        if process.poll() is not None:
            sys.exit(f"{argv[0]} ended: {(folder / 'log').read_text()}")
    return process


def listening(port: int) -> bool:
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:] + Path("/proc/net/tcp6").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)


def children(pid: int) -> list[int]:
    """Waits until there is at least one child."""
    while not (found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        pass
    return [int(child) for child in found]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def version(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).splitlines()[0].strip()
