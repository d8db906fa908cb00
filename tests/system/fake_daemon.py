"""What stands for a daemon: it says what the test wants."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.world import Site

RELOADING = '{"success": false, "error": "the daemon reloads"}'


@contextmanager
def daemon_that_says(site: Site, *replies: str) -> Iterator[None]:
    """One reply a connection; an empty one is none."""
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))

    def answer(listener: socket.socket) -> None:
        for reply in replies:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                if reply:
                    head = "503 Reloading\r\nRetry-After: 1" if reply == RELOADING else "200 OK"
                    connection.sendall(f"HTTP/1.0 {head}\r\n\r\n{reply}".encode())

    with socket.create_server(("127.0.0.1", site.api_port)) as listener, ThreadPoolExecutor() as pool:
        listener.settimeout(20)
        answering = pool.submit(answer, listener)
        yield
        answering.result()
