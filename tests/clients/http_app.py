"""An app for HTTP clients: answers with its version, takes uploads, never ends its event streams.

On SIGTERM it dies at once, so whatever it was answering is lost.
"""

import hashlib
import http.server
import json
import os
import time
from pathlib import Path

VERSION = json.loads(Path("behaviour.json").read_text())["version"]
ANSWER_S = 0.01
"""What a reply takes, so that some are always on their way when the traffic moves."""
EVENT_S = 0.02


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        match self.path:
            case "/healthz":
                self.reply("health")
            case "/events/chunked":
                self.stream({"Transfer-Encoding": "chunked"}, "{:x}\r\n{}\r\n")
            case "/events/until-close":
                self.stream({"Connection": "close"}, "{1}")
            case _:
                time.sleep(ANSWER_S)
                self.reply(VERSION)

    def do_POST(self) -> None:
        """Answers with the version and the digest of what came."""
        self.reply(f"{VERSION} {hashlib.sha256(self.body()).hexdigest()}")

    do_PUT = do_POST  # noqa: N815

    def handle_expect_100(self) -> bool:
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def body(self) -> bytes:
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def stream(self, headers: dict[str, str], framing: str) -> None:
        event = f"data: {VERSION}\n\n"
        self.send_response(200)
        for name, value in ({"Content-Type": "text/event-stream"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        while True:
            self.wfile.write(framing.format(len(event), event).encode())
            self.wfile.flush()
            time.sleep(EVENT_S)

    def reply(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
