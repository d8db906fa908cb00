"""The app that the soak deploys. Every reply can be checked. It exits at once on SIGTERM. `child.sh` daemonises.

Its argument is the version that the configuration names.
"""

import errno
import hashlib
import http.server
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

EVENTS = 20
EVENT_INTERVAL_S = 0.1
FULL = 507


def said(name: str) -> str:
    return Path(name).read_text().strip()


def attack(targets: str) -> bytes:
    return subprocess.run([sys.executable, "-IS", "attack.py", targets], check=True, stdout=subprocess.PIPE).stdout


def script(version: str) -> str:
    """The path of the script that a page of this version loads."""
    return f"assets/app-{hashlib.sha256(version.encode()).hexdigest()[:12]}.js"


def digest(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def written(number: int) -> bytes:
    """What an upload has of this number."""
    return f"\n{number} {digest(number)}\n".encode()


def upload(number: int) -> Path:
    return Path("uploads") / str(number // 1000)


def write(number: int) -> None:
    """Raises OSError, sqlite3.Error."""
    with closing(sqlite3.connect("data/app.db", timeout=20)) as db, db:
        db.execute("PRAGMA synchronous = OFF")  # Only a power failure needs more.
        db.execute("INSERT OR REPLACE INTO writes VALUES (?, ?)", (number, digest(number)))
    with upload(number).open("ab", buffering=0) as file:
        if file.write(written(number)) < len(written(number)):
            raise OSError(errno.ENOSPC, "the upload is cut")


def is_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


class Handler(http.server.BaseHTTPRequestHandler):
    version = ""
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.reply(b"", 500 if said("fault") == "health" else 200)
        elif self.path.startswith("/events"):
            self.stream()
        elif self.path.startswith("/assets/"):
            path = Path(self.path.removeprefix("/").partition("?")[0])
            self.reply(path.read_bytes()) if path.exists() else self.reply(b"no such script", 404)
        else:
            if self.path.startswith("/slow"):
                time.sleep(0.3)
            self.reply(hashlib.sha256(self.path.encode()).digest() * 20)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/attack":
            self.reply(attack(body.decode()))
        elif self.path.startswith("/write"):
            self.write(int(self.path.partition("?")[2]))
        else:
            self.reply(body)

    def write(self, number: int) -> None:
        try:
            write(number)
        except (OSError, sqlite3.Error) as error:
            self.reply(repr(error).encode(), FULL if is_full(error) else 500)
        else:
            self.reply(digest(number).encode())

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
    Handler.version = f"{said('version')} as {sys.argv[1]}" if said("version") != sys.argv[1] else sys.argv[1]
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
