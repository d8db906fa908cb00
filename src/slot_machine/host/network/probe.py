"""One question for an app's health, and what its answer means."""

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

MOST_BYTES = 65_536
"""What is read of a reply at most. It must hold the status line and all header fields."""
FIRST_BYTES = b"HTTP/"
LONGEST_READ_S = 1.0
"""Of a body."""
LONGEST_REASON = 200
"""Of what h11 says of a reply, which quotes a line of it in full, and of the address that a redirect leads to."""

REDIRECTS = (301, 302, 303, 307, 308)
HTTPS = "https"

OUR_OWN_FAULTS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""If a connection fails with one of these, the daemon lacks something, and the app may be well."""


class Answer(NamedTuple):
    """The result of one question. `status` is 0 if no status came.

    `elsewhere` is set for a redirect to another scheme or host: that scheme, or else that host.
    """

    status: int
    words: str
    healthy: bool = False
    elsewhere: str = ""


class NotConnected(Exception):
    """Nobody accepted the connection, or it could not be made."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(os.strerror(reason.errno).lower() if reason.errno else str(reason))
        self.reason = reason


async def at_once() -> None:
    pass


class Probe(NamedTuple):
    """How an app is asked for its health, and which statuses mean that it is healthy."""

    port: int
    endpoint: str
    statuses: range = range(200, 201)
    host_field: str = ""
    """The `Host` field of the question. Empty for the address and the port."""
    begin: Callable[[], Awaitable[None]] = at_once
    """Awaited before the first question."""
    tos: int = 0
    """The type of service of the connections (ip(7)). It steers them where two versions listen on one port."""
    fields: tuple[tuple[str, str], ...] = ()
    """More fields of the question."""
    most_body: int = 0
    """So many bytes of the answer's body are read, because some apps log an error if their client leaves earlier."""

    @property
    def expected(self) -> str:
        """The statuses, such as `200` or `200-399`."""
        first, last = self.statuses[0], self.statuses[-1]
        return str(first) if first == last else f"{first}-{last}"


async def ask_once(host: str, probe: Probe, limit_s: float) -> Answer:
    """Raises OSError if the daemon lacks what it takes to ask."""
    try:
        return await ask(host, probe, limit_s)
    except NotConnected as error:
        if error.reason.errno in OUR_OWN_FAULTS:
            raise error.reason from None
        return Answer(0, str(error))


async def ask(host: str, probe: Probe, limit_s: float) -> Answer:
    """Asks on a connection of its own. Raises NotConnected.

    An app that answers with a redirect to HTTPS is asked once more, as if the question had come over HTTPS.
    """
    try:
        async with asyncio.timeout(limit_s):
            answer = await _asked(host, probe, "http")
            if answer.elsewhere != HTTPS or answer.healthy:
                return answer
            over_https = await _asked(host, probe, HTTPS)
            # The same redirect again: the app does not trust the field.
            return answer if over_https.words == answer.words else over_https
    except TimeoutError:
        return Answer(0, f"nothing within {limit_s:.2g} s")
    except OSError:
        return Answer(0, "nothing (it closed the connection)")
    except h11.RemoteProtocolError as error:
        return Answer(0, f"what is not HTTP ({_in_one_line(str(error))})")


async def _asked(host: str, probe: Probe, scheme: str) -> Answer:
    """Raises NotConnected, OSError, RemoteProtocolError."""
    authority = probe.host_field or (f"[{host}]:{probe.port}" if ":" in host else f"{host}:{probe.port}")
    with await _connected(host, probe) as connection:
        reply = await _exchanged(connection, probe, authority, scheme)
        await _read_body(connection, probe.most_body)
    return _judged(reply, probe.statuses, authority, scheme)


def _judged(reply: h11.Response, statuses: range, authority: str, scheme: str) -> Answer:
    status, words, elsewhere = reply.status_code, str(reply.status_code), ""
    location = next((value for name, value in reply.headers if name == b"location"), b"").decode("latin-1")
    if status in REDIRECTS and location:
        elsewhere = _elsewhere(location, authority, scheme)
        words += f" (to {_in_one_line(location)})"
    # A redirect to another place counts only if `statuses` is that very status.
    healthy = status in statuses and (not elsewhere or len(statuses) == 1)
    return Answer(status, words, healthy, elsewhere)


def _elsewhere(location: str, authority: str, scheme: str) -> str:
    """The scheme that a redirect leads to, or else its host, if that is not the one that was asked. Empty else."""
    try:
        target, host = urlsplit(location), urlsplit(f"//{authority}").hostname
        if target.scheme and target.scheme != scheme:
            return target.scheme
        return target.hostname or "" if target.netloc and target.hostname != host else ""
    except ValueError:
        return _in_one_line(location)


def _in_one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_REASON]


async def _connected(host: str, probe: Probe) -> socket.socket:
    is_ipv6 = ":" in host
    connection = None
    try:
        connection = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET)
        connection.setblocking(False)
        option = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if is_ipv6 else (socket.IPPROTO_IP, socket.IP_TOS)
        connection.setsockopt(*option, probe.tos)
        await asyncio.get_running_loop().sock_connect(connection, (host, probe.port))
    except BaseException as error:
        if connection:
            connection.close()
        if isinstance(error, OSError):
            raise NotConnected(error) from None
        raise
    return connection


async def _read_body(connection: socket.socket, most_bytes: int) -> None:
    """Whatever comes of it: the status is known."""
    with suppress(OSError):
        async with asyncio.timeout(LONGEST_READ_S):
            while most_bytes > 0:
                data = await asyncio.get_running_loop().sock_recv(connection, MOST_BYTES)
                most_bytes -= len(data) or most_bytes


async def _exchanged(connection: socket.socket, probe: Probe, authority: str, scheme: str) -> h11.Response:
    """Sends the question and reads the head of the final reply. Raises OSError, RemoteProtocolError."""
    loop = asyncio.get_running_loop()
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_BYTES)
    headers = [("Host", authority), ("Accept", "*/*"), ("Connection", "close"), *probe.fields]
    if scheme == HTTPS:
        headers.append(("X-Forwarded-Proto", HTTPS))
    target = probe.endpoint.partition("#")[0]
    question = h11.Request(method="GET", target=target, headers=headers)
    await loop.sock_sendall(connection, (http.send(question) or b"") + (http.send(h11.EndOfMessage()) or b""))
    room = MOST_BYTES
    while not isinstance(event := http.next_event(), h11.Response):
        if event is h11.NEED_DATA:
            if not room:
                raise h11.RemoteProtocolError(f"no head ended within {MOST_BYTES} bytes")
            if not (data := await loop.sock_recv(connection, room)):
                raise ConnectionResetError
            room -= len(data)
            http.receive_data(data)
            begun = http.trailing_data[0][: len(FIRST_BYTES)]
            if not FIRST_BYTES.startswith(begun):
                raise h11.RemoteProtocolError(f"it begins with {begun!r}")
    return event
