"""Apps that know nothing of a handover, by name: `python -IS app.py NAME`. Each answers with $VERSION."""

import http.server
import os
import socket
import sys
import time
from collections.abc import Callable

PORT = int(os.environ["PORT"])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(0.4)
        elif self.path == "/bind":
            with socket.socket() as other:
                other.bind(("127.0.0.1", 0))
                other.listen()
        body = os.environ["VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)


class Server6(Server):
    address_family = socket.AF_INET6


def serve(host: str = "127.0.0.1") -> None:
    (Server6 if ":" in host else Server)((host, PORT), Handler).serve_forever()


def two_addresses() -> None:
    Server(("127.0.0.1", PORT), Handler)
    Server6(("::1", PORT), Handler).serve_forever()


def forked_workers() -> None:
    """The master listens and two workers accept, as with gunicorn."""
    server = Server(("127.0.0.1", PORT), Handler)
    for _ in range(2):
        if os.fork() == 0:
            server.serve_forever()
    os.wait()


def worker_sockets() -> None:
    """Each process has a SO_REUSEPORT socket of its own."""
    for _ in range(2):
        if os.fork() == 0:
            break
    Server.allow_reuse_port = True
    serve()


def deaf() -> None:
    """Accepts nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", PORT))
        listener.listen(64)
        time.sleep(60)


APPS: dict[str, Callable[[], None]] = {
    "ipv4": serve,
    "ipv6": lambda: serve("::1"),
    "any": lambda: serve("0.0.0.0"),
    "dual": lambda: serve("::"),
    "two_addresses": two_addresses,
    "forked_workers": forked_workers,
    "worker_sockets": worker_sockets,
    "deaf": deaf,
}

if __name__ == "__main__":
    APPS[sys.argv[1]]()
