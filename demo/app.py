"""The demo's app: it answers with its version, waits 0.3 s on `/slow`, and exits at once on SIGTERM.

A part of its requests fails, if that is wanted.
"""

import http.server
import os
import random
import time

VERSION = "v1"
FAILS = 0.0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(0.3)
        fails = random.random() < FAILS
        body = f"{VERSION} is broken".encode() if fails else VERSION.encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
