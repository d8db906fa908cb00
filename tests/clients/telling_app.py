"""An app that prints all that it gets, that lets caches keep its replies, and that takes WebSockets and streams."""

import http.server
import json
import os
from pathlib import Path

VERSION = json.loads(Path("behaviour.json").read_text())["version"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        print(self.requestline, *self.headers.items(), flush=True)
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
            self.end_headers()
            self.wfile.write(b"\x81" + bytes((len(VERSION),)) + VERSION.encode())
            self.close_connection = True
            return
        body = VERSION.encode()
        self.send_response(200)
        self.send_header("Cache-Control", "public, max-age=600")
        self.send_header("Content-Type", "text/event-stream" if self.path == "/events" else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
