"""The web app that the scenarios deploy: one file, standard library only, copied into every test repository.

The file `behaviour.json` beside it in the commit says how it behaves. The app reads it from the current folder, and so
detects an orchestrator that does not start the app in its slot.

The app writes each event to the journal, a file outside of the repository: one JSON object on a line. The journal tells
a scenario which processes never answered a request, and how they were stopped.
"""

import json
import os
import signal
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

BEHAVIOUR = json.loads(Path("behaviour.json").read_text())


def note(event: str) -> None:
    line = json.dumps({"event": event, "version": BEHAVIOUR["version"], "pid": os.getpid(), "start_time": start_time()})
    journal = os.open(BEHAVIOUR["journal"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(journal, line.encode() + b"\n")
    os.close(journal)


def start_time() -> int:
    """The start time of this process in clock ticks. Together with the pid, it identifies one process."""
    return int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/healthz":
                self.reply(200 if BEHAVIOUR["healthy"] else 500, {"healthy": BEHAVIOUR["healthy"]})
            case "/about":
                self.reply(200, {"version": BEHAVIOUR["version"], "pid": os.getpid()})
            case "/env":
                self.reply(200, dict(os.environ))
            case _:
                self.reply(404, {})

    def do_POST(self) -> None:
        if self.path != "/crash":
            self.reply(404, {})
            return
        self.reply(202, {})
        os._exit(3)

    def reply(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


class Server(socketserver.ThreadingTCPServer):
    """In place of `http.server.HTTPServer`, which looks up the machine's name when it starts."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64


def wait_for_boot_gate() -> None:
    gate = BEHAVIOUR["boot_gate"]
    while gate and not os.path.exists(gate):
        if signal.sigtimedwait({signal.SIGTERM}, 0.01):
            sys.exit(0)


def wait_for_the_end() -> None:
    while signal.sigwait({signal.SIGTERM}):
        note("sigterm")
        if not BEHAVIOUR["ignore_sigterm"]:
            return


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    note("started")
    wait_for_boot_gate()
    with Server(("127.0.0.1", int(os.environ["PORT"])), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        wait_for_the_end()
        time.sleep(BEHAVIOUR["stop_s"])
        server.shutdown()
    note("stopped")


if __name__ == "__main__":
    main()
