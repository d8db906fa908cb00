"""The app that the soak deploys. Every reply can be checked. It exits at once on SIGTERM. `child.sh` daemonises."""

import hashlib
import http.server
import os
import subprocess
import sys
import time
from pathlib import Path

EVENTS = 20
EVENT_INTERVAL_S = 0.1


def said(name: str) -> str:
    return Path(name).read_text().strip()


def attack(targets: str) -> bytes:
    return subprocess.run([sys.executable, "-IS", "attack.py", targets], check=True, stdout=subprocess.PIPE).stdout


class Handler(http.server.BaseHTTPRequestHandler):
    version = ""
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.reply(b"", 500 if said("fault") == "health" else 200)
        elif self.path.startswith("/events"):
            self.stream()
        else:
            if self.path.startswith("/slow"):
                time.sleep(0.3)
            self.reply(hashlib.sha256(self.path.encode()).digest() * 20)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(attack(body.decode()) if self.path == "/attack" else body)

    def reply(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("X-Version", self.version)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("X-Version", self.version)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(EVENTS):
            event = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(EVENT_INTERVAL_S)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    if said("child.sh"):
        subprocess.run(["/bin/sh", "child.sh"], check=True)
    if said("fault") == "boot":
        sys.exit("something is missing")
    if said("fault") == "neighbour":
        time.sleep(60)
    Handler.version = said("version")
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
