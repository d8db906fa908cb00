"""What clients and apps say to each other, and the connections on which they said it."""

import select
import socket

from tests.proxy.conftest import App, Connection, Plane

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
UPGRADE = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
HELLO = b"\x81\x05hello"
RESET = b"\x01\0\0\0\0\0\0\0"
"""For SO_LINGER: the connection does not end, it breaks."""


def answered(connection: Connection, reply: bytes = OK) -> None:
    connection.head()
    connection.send(reply)


def served(plane: Plane) -> tuple[App, Connection, Connection]:
    """An app, with a client and the connection to the app that have carried a request with its reply."""
    app = plane.app()
    client = plane.client(GET)
    connection = app.accept()
    answered(connection)
    client.until(b"ok")
    return app, client, connection


def websocket(plane: Plane, app: App) -> tuple[Connection, Connection]:
    client = plane.client(UPGRADE)
    connection = app.accept()
    connection.head()
    connection.send(SWITCHED)
    client.head()
    return client, connection


def writable(raw: socket.socket, within_s: float = 0.1) -> bool:
    """Whether the other side still takes bytes."""
    return bool(select.select([], [raw], [], within_s)[1])
