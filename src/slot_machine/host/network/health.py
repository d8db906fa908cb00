"""The health check: a start is polled from its first milliseconds on, a live app is asked one question at a time."""

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import h11

from slot_machine.core.backoff import growing
from slot_machine.host.network.listeners import Listeners
from slot_machine.host.network.ports import HOSTS, listening_host

FIRST_INTERVAL_S = 0.01
LONGEST_INTERVAL_S = 0.5
PROBE_TIMEOUT_S = 5.0
MOST_BYTES = 65_536
"""What is read of a reply at most. It must hold the status line and all header fields."""
FIRST_BYTES = b"HTTP/"
LONGEST_REASON = 200
"""Of what h11 says of a reply, which quotes a line of it in full."""

OUR_OWN_FAULTS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""If a connection fails with one of these, the daemon lacks something, and the app may be well."""


class Unhealthy(Exception):
    """No 200 came in time; the message says what came instead."""


class Answer(NamedTuple):
    """The result of one question. `status` is 0 if no status came."""

    status: int
    words: str


class Exiting(Protocol):
    async def exited(self) -> int: ...


class Exited(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class NotConnected(Exception):
    """Nobody accepted the connection, or it could not be made."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(os.strerror(reason.errno).lower() if reason.errno else str(reason))
        self.reason = reason


async def at_once() -> None:
    pass


class Probe(NamedTuple):
    """How an app is asked for its health."""

    port: int
    endpoint: str
    begin: Callable[[], Awaitable[None]] = at_once
    """Awaited before the first question."""
    tos: int = 0
    """The type of service of the connections (ip(7)). It steers them where two versions listen on one port."""


async def wait_healthy(
    app: Exiting, listeners: Listeners, probe: Probe, also_port: int, timeout_s: float
) -> dict[int, str]:
    """Waits for a 200, and until somebody listens on `also_port`.

    Returns the loopback address on which each port listens. Raises Unhealthy, Exited as soon as the app exits, Foreign
    if another program listens there, and what `probe.begin` raises.
    """
    exited = asyncio.create_task(app.exited())
    healthy = asyncio.create_task(_poll(listeners, probe, also_port, timeout_s))
    try:
        await asyncio.wait({exited, healthy}, return_when=asyncio.FIRST_COMPLETED)
        if exited.done():
            raise Exited(exited.result())
        return healthy.result()
    finally:
        for task in (exited, healthy):
            task.cancel()
        await asyncio.gather(exited, healthy, return_exceptions=True)


async def ask_once(host: str, port: int, endpoint: str, limit_s: float) -> Answer:
    """Raises OSError if the daemon lacks what it takes to ask."""
    try:
        return await _ask(host, Probe(port, endpoint), limit_s)
    except NotConnected as error:
        if error.reason.errno in OUR_OWN_FAULTS:
            raise error.reason from None
        return Answer(0, str(error))


async def _poll(listeners: Listeners, probe: Probe, also_port: int, timeout_s: float) -> dict[int, str]:
    port, endpoint = probe.port, probe.endpoint
    seen = f"nothing listens on port {port}; does the app read $PORT?"
    if port != also_port:
        seen = (
            f"nothing listens on port {port}, where health is checked because internal_port is not the same as port;"
            " does the app listen on $INTERNAL_PORT as well?"
        )
    answers: Counter[str] = Counter()
    try:
        async with asyncio.timeout(timeout_s):
            await probe.begin()
            for interval_s in growing(FIRST_INTERVAL_S, LONGEST_INTERVAL_S):
                before = listeners.seen(HOSTS, port)
                host, answer = await _ask_either(probe)
                answers[answer.words.partition(" (")[0]] += 1
                # A socket that is newer than the question may not be the one that answered it.
                is_asked = bool(host) and listeners.answered(host, port) <= before
                if answer.status == 200 and is_asked:
                    if other_host := host if also_port == port else listening_host(also_port):
                        listeners.answered(other_host, also_port)
                        return {also_port: other_host, port: host}
                    seen = f"{endpoint} is healthy, but nothing listens on port {also_port}; does the app read $PORT?"
                elif host:
                    seen = f"{endpoint} on port {port} answered {answer.words}, not 200"
                await asyncio.sleep(interval_s)
    except TimeoutError:
        pass
    counts = ", ".join(f"{count} x {words}" for words, count in answers.items())
    raise Unhealthy(f"not healthy within {timeout_s:g} s: {seen}{counts and f' ({counts})'}")


async def _ask_either(probe: Probe) -> tuple[str, Answer]:
    """Tries IPv4, then IPv6. Returns the address that accepted the connection, empty if none did, and the answer."""
    refusals = []
    for host in HOSTS:
        try:
            return host, await _ask(host, probe, PROBE_TIMEOUT_S)
        except NotConnected as error:
            refusals.append(str(error))
    return "", Answer(0, refusals[0])


async def _ask(host: str, probe: Probe, limit_s: float) -> Answer:
    """Asks on a connection of its own. Raises NotConnected."""
    try:
        async with asyncio.timeout(limit_s):
            with await _connected(host, probe) as connection:
                return await _exchanged(connection, host, probe)
    except TimeoutError:
        return Answer(0, f"nothing within {limit_s:g} s")
    except OSError:
        return Answer(0, "nothing (it closed the connection)")
    except h11.RemoteProtocolError as error:
        return Answer(0, f"what is not HTTP ({' '.join(str(error).split())[:LONGEST_REASON]})")


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


async def _exchanged(connection: socket.socket, host: str, probe: Probe) -> Answer:
    """Sends the question and reads the head of the final reply. Raises OSError, RemoteProtocolError."""
    loop = asyncio.get_running_loop()
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_BYTES)
    authority = f"[{host}]:{probe.port}" if ":" in host else f"{host}:{probe.port}"
    headers = [("Host", authority), ("Accept", "*/*"), ("Connection", "close")]
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
    return Answer(event.status_code, str(event.status_code))
