"""Measures what clients notice of 20 swaps under `--no-proxy`, with and without the handover.

Usage: python -m bench.handover PATH_OF_SLOT_MACHINE. An app is measured only if its programs are on the PATH.
"""

import http.client
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from demo.__main__ import free_port, git, start

SWAPS = 20
VISITORS, KEPT_ALIVE = 3, 2
PAUSE_S = 0.1
DENIED = Path("tests/handover/denied.py").resolve()


class App(NamedTuple):
    """An app answers with its session id, which identifies its start. `needs` are the programs that it needs."""

    name: str
    needs: tuple[str, ...]
    start_command: str
    files: dict[str, str]
    setup_command: str = ""
    internal_port: bool = False


PYTHON = shlex.quote(sys.executable)
HTTP_SERVER = """
import http.server, os, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        body = str(os.getsid(0)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

servers = [Server(("", port), Handler) for port in sorted({int(os.environ["PORT"]), int(os.environ["INTERNAL_PORT"])})]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
"""
NODE = """
require("http").createServer((_, reply) => reply.end(String(process.pid))).listen(+process.env.PORT);
"""
BUN = """
Bun.serve({port: +process.env.PORT, fetch: () => new Response(String(process.pid))});
"""
GO = """
package main

import ("fmt"; "net/http"; "os")

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	panic(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
"""
ASGI = """
import os

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getsid(0)).encode()})
"""
WSGI = """
import os

def app(environ, start_response):
    body = str(os.getsid(0)).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
APPS = [
    App("Node, dual stack", ("node",), "exec node app.js", {"app.js": NODE}),
    App("Bun", ("bun",), "exec bun app.js", {"app.js": BUN}),
    App("Python http.server", (), f"exec {PYTHON} -IS app.py", {"app.py": HTTP_SERVER}),
    App("uvicorn", ("uvicorn",), "exec uvicorn app:app --port $PORT --log-level warning", {"app.py": ASGI}),
    App(
        "gunicorn, 2 workers",
        ("gunicorn",),
        "exec gunicorn --workers 2 --bind 127.0.0.1:$PORT --log-level warning app:app",
        {"app.py": WSGI},
    ),
    App("Go", ("go",), "exec ./app", {"app.go": GO, ".gitignore": "app\n"}, "go build -o app app.go"),
    App("http.server, internal port", (), f"exec {PYTHON} -IS app.py", {"app.py": HTTP_SERVER}, internal_port=True),
]


class Row(NamedTuple):
    """`wrong` counts answers of a version after a later one had answered; `kept_alive`, failures after one retry."""

    requests: int
    refused: int
    reset: int
    wrong: int
    kept_alive: int
    handovers: int
    swap_ms: float


class Visits:
    """Clients with a new connection for each request, and keep-alive clients. Each runs in a thread until `stop`."""

    def __init__(self, port: int) -> None:
        self.refused = self.reset = self.kept_alive = self.kept_alive_requests = 0
        self.answers: list[tuple[float, float, str]] = []
        self._port = port
        self._stopped = threading.Event()
        jobs = [self._visit] * VISITORS + [self._keep_alive] * KEPT_ALIVE
        self._threads = [threading.Thread(target=self._until_stopped, args=(job,)) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def wrong(self) -> int:
        """Counts answers on a connection that began after a later version had given its first answer."""
        first_s: dict[str, float] = {}
        for _, end_s, version in sorted(self.answers, key=lambda answer: answer[1]):
            first_s.setdefault(version, end_s)
        order = sorted(first_s, key=first_s.__getitem__)
        later = dict(itertools.pairwise(order))
        return sum(version in later and begin_s > first_s[later[version]] for begin_s, _, version in self.answers)

    def _until_stopped(self, job: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            job()

    def _visit(self) -> None:
        begin_s = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            version = connection.getresponse().read().decode()
            self.answers.append((begin_s, time.monotonic(), version))
        except ConnectionRefusedError:
            self.refused += 1
        except (OSError, http.client.HTTPException):
            self.reset += 1
        finally:
            connection.close()

    def _keep_alive(self) -> None:
        """Requests on one connection; if it turns out closed, the request goes out again on a fresh one."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        fresh = True
        while not self._stopped.is_set():
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
                self.kept_alive_requests += 1
                fresh = False
            except (OSError, http.client.HTTPException):
                self.kept_alive += fresh
                fresh = True
                connection.close()
            time.sleep(0.002)
        connection.close()


def measure(slot_machine: list[str], app: App) -> Row:
    with tempfile.TemporaryDirectory(prefix="slot-machine-bench-") as folder:
        repo = Path(folder, "repo")
        api_port = make(repo, app)
        daemon = start([*slot_machine, "start", "--no-proxy"], repo, api_port)
        try:
            for _ in range(2):
                subprocess.run([slot_machine[-1], "deploy"], cwd=repo, check=True, capture_output=True)
            return swap(json.loads((repo / "slot-machine.json").read_text()))
        finally:
            daemon.terminate()
            daemon.wait()


def make(repo: Path, app: App) -> int:
    """Returns the port of the API."""
    repo.mkdir()
    config: dict[str, object] = {"start_command": app.start_command, "port": free_port(), "api_port": free_port()}
    if app.setup_command:
        config["setup_command"] = app.setup_command
    if app.internal_port:
        config["internal_port"] = free_port()
    (repo / "slot-machine.json").write_text(json.dumps(config | {"health_endpoint": "/"}))
    for name, text in app.files.items():
        (repo / name).write_text(text)
    git(repo, "init", "--quiet")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message", app.name)
    api_port = config["api_port"]
    assert isinstance(api_port, int)
    return api_port


def swap(config: dict[str, int]) -> Row:
    api_port = config["api_port"]
    visits = Visits(config["port"])
    seconds, handovers = [], 0
    for _ in range(SWAPS):
        time.sleep(PAUSE_S)
        handovers += call(api_port, "GET", "/status")["handover"] is True
        began_s = time.monotonic()
        reply = call(api_port, "POST", "/rollback")
        assert reply["success"], reply
        seconds.append(time.monotonic() - began_s)
    time.sleep(PAUSE_S)
    visits.stop()
    requests = len(visits.answers) + visits.kept_alive_requests
    swap_ms = median(seconds) * 1000
    return Row(requests, visits.refused, visits.reset, visits.wrong(), visits.kept_alive, handovers, swap_ms)


def call(api_port: int, method: str, path: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", api_port, timeout=60)
    connection.request(method, path)
    reply: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return reply


def table(slot_machine: str) -> list[str]:
    ways = {"handover": [slot_machine], "drain, start": [sys.executable, str(DENIED), "pidfd_getfd", slot_machine]}
    lines = [
        f"| {SWAPS} swaps under load | mode | requests | refused | reset | wrong version | kept alive | swap ms |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for app in APPS:
        if missing := [program for program in app.needs if not shutil.which(program)]:
            lines.append(f"| {app.name} | not tried: no {', '.join(missing)} here | | | | | | |")
            continue
        for way, command in ways.items():
            row = measure(command, app)
            assert row.handovers == (SWAPS if way == "handover" else 0), row
            cells = [row.requests, row.refused, row.reset, row.wrong, row.kept_alive]
            lines.append(f"| {app.name} | {way} | {' | '.join(f'{cell:,}' for cell in cells)} | {row.swap_ms:.0f} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


if __name__ == "__main__":
    print("\n".join(table(os.path.abspath(sys.argv[1]))))
