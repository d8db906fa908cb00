"""The app that the integration tests deploy. `behaviour.json` beside it says how it behaves.

On SIGTERM it dies at once, as apps do that handle no signals, so whatever it was answering is lost.
"""

import http.server
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

SICK = threading.Event()
LEAKED = bytearray()
BEHAVIOUR = json.loads(Path("behaviour.json").read_text())


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        host = self.headers.get("Host", "")
        if BEHAVIOUR.get("host_only") not in (None, host):
            self.reply(400, "another host")
            return
        if (trusts := BEHAVIOUR.get("forces_https")) and self.headers.get("X-Forwarded-Proto") != trusts:
            self.reply(301, "over HTTPS", location=f"https://{host}{self.path}")
            return
        if self.path in BEHAVIOUR.get("broken", []):
            print(f"no template for {self.path}, asked with {self.headers.get('Slot-Machine-Rehearsal')}", flush=True)
            self.reply(500, "broken")
            return
        match self.path:
            case "/checkout":
                fails = random.random() < BEHAVIOUR.get("fails", 0)
                self.reply(500 if fails else 200, "broken" if fails else BEHAVIOUR["version"])
            case "/healthz":
                if BEHAVIOUR.get("talks"):
                    os.write(1, b'127.0.0.1 - - "GET /healthz HTTP/1.1" 503 -\n')
                healthy = BEHAVIOUR.get("healthy", True) and not SICK.is_set()
                self.reply(BEHAVIOUR.get("health", 200) if healthy else 500, "health", BEHAVIOUR.get("location", ""))
            case "/leak":
                LEAKED.extend(b"x" * (100 << 20))
                self.reply(200, str(os.getpid()))
            case "/sicken":
                SICK.set()
                self.reply(200, "sick until it is started again")
            case "/slow":
                time.sleep(0.4)
                self.reply(200, BEHAVIOUR["version"])
            case "/held":
                Path("../held").touch()
                while not Path("../release").exists():
                    time.sleep(0.01)
                self.reply(200, BEHAVIOUR["version"])
            case "/endless":
                time.sleep(600)
            case "/env":
                self.reply(200, json.dumps(dict(os.environ)))
            case "/pid":
                self.reply(200, str(os.getpid()))
            case "/bind":
                with socket.create_server(("127.0.0.1", 0)):
                    self.reply(200, "bound")
            case "/retreat":
                self.reply(200, "listens no more")
                assert isinstance(self.server, Server)
                self.server.socket.shutdown(socket.SHUT_RDWR)
            case "/crash":
                os._exit(7)
            case _:
                self.reply(200, BEHAVIOUR["version"])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/crash":
            os._exit(7)
        if self.path == "/slow":
            time.sleep(0.4)
        self.reply(200, BEHAVIOUR["version"])

    def reply(self, status: int, text: str, location: str = "") -> None:
        body = text.encode()
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if BEHAVIOUR.get("apart"):
            self.wfile.flush()
            time.sleep(0.02)
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def patient_end() -> None:
    """When the last client has closed its connection, as Node's servers may."""
    while threading.active_count() > 2:
        time.sleep(0.01)
    os.write(1, b"no client is left\n")
    os._exit(0)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    print(f"booting {BEHAVIOUR['version']}", flush=True)
    if child := BEHAVIOUR.get("child"):
        subprocess.Popen(child)
    if "exit" in BEHAVIOUR or Path("crash-at-boot").exists():
        print("something is missing", flush=True)
        sys.exit(BEHAVIOUR.get("exit", 9))
    if BEHAVIOUR.get("deaf"):
        time.sleep(600)
    while BEHAVIOUR.get("waits") and not Path("../go").exists():
        time.sleep(0.01)
    for number in range(BEHAVIOUR.get("lines", 0)):
        os.write(1, b"%08d %s\n" % (number, b"x" * 90))
    if BEHAVIOUR.get("patient"):
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=patient_end).start())
    if BEHAVIOUR.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    host = BEHAVIOUR.get("host", "127.0.0.1")
    if ":" in host:
        Server.address_family = socket.AF_INET6
    ports = {int(os.environ[name]) for name in BEHAVIOUR.get("ports", ("PORT", "INTERNAL_PORT"))}
    first, *others = [Server((host, port), Handler) for port in ports]
    for server in others:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    first.serve_forever()


if __name__ == "__main__":
    main()
