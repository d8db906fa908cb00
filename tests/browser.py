"""A browser and a script, as far as previews need them."""

import http.client
import socket
from contextlib import closing
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    text: str


def ask(
    port: int, target: str, fields: dict[str, str] | None = None, method: str = "GET", body: bytes | None = None
) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, target, body, fields or {})
        reply = connection.getresponse()
        return Answer(reply.status, dict(reply.getheaders()), reply.read().decode())


def websocket(port: int, target: str, fields: dict[str, str]) -> bytes:
    """All that comes until the other side closes."""
    lines = {"Host": "h", "Connection": "Upgrade", "Upgrade": "websocket", **fields}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
        data = b""
        while more := connection.recv(4096):
            data += more
        return data
