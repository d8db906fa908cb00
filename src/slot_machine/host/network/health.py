"""The health check: of a start, polled from the first milliseconds on; of the live app, one probe at a time."""

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import aiohttp

from slot_machine.host.network.listeners import Listeners
from slot_machine.host.network.ports import FAMILIES, HOSTS, listening_host

FIRST_INTERVAL_S = 0.01
LONGEST_INTERVAL_S = 0.5
PROBE_TIMEOUT_S = 5.0

OUR_OWN_FAULTS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""Of a connection: it is the daemon that lacks something."""


class Unhealthy(Exception):
    """No 200 in time; the message says what came instead."""


class Answer(NamedTuple):
    """What a probe came to: `status` is 0 where no status came."""

    status: int
    words: str


class Exiting(Protocol):
    async def exited(self) -> int: ...


class Exited(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def nothing_first() -> None:
    pass


async def wait_healthy(
    app: Exiting,
    listeners: Listeners,
    port: int,
    endpoint: str,
    also_port: int,
    timeout_s: float,
    first: Callable[[], Awaitable[None]] = nothing_first,
    mark: int = 0,
) -> dict[int, str]:
    """Waits for `first`, for a 200 of `endpoint` on `port`, and for somebody to listen on `also_port`.

    The requests carry `mark` as their type of service (ip(7)). Returns the loopback address on which each port listens.
    Raises Unhealthy, Exited as soon as the app exits, Foreign where somebody else listens, and what `first` raises.
    """
    exited = asyncio.create_task(app.exited())
    healthy = asyncio.create_task(_poll(listeners, port, endpoint, also_port, timeout_s, first, mark))
    try:
        await asyncio.wait({exited, healthy}, return_when=asyncio.FIRST_COMPLETED)
        if exited.done():
            raise Exited(exited.result())
        return healthy.result()
    finally:
        for task in (exited, healthy):
            task.cancel()
        await asyncio.gather(exited, healthy, return_exceptions=True)


async def probe(host: str, port: int, endpoint: str, limit_s: float) -> Answer:
    """A single one, on a connection of its own. Raises OSError where it could not be sent."""
    async with _session(0) as session:
        try:
            return await _ask(session, host, port, endpoint, limit_s)
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno in OUR_OWN_FAULTS:
                raise error.os_error from None
            return Answer(0, _no_connection(error))


async def _poll(
    listeners: Listeners,
    port: int,
    endpoint: str,
    also_port: int,
    timeout_s: float,
    first: Callable[[], Awaitable[None]],
    mark: int,
) -> dict[int, str]:
    seen = f"nothing listens on port {port}; does the app read $PORT?"
    if port != also_port:
        seen = (
            f"nothing listens on port {port}, where health is checked because internal_port is not the same as port;"
            " does the app listen on $INTERNAL_PORT as well?"
        )
    answers: Counter[str] = Counter()
    interval_s = FIRST_INTERVAL_S
    try:
        async with asyncio.timeout(timeout_s), _session(mark) as session:
            await first()
            while True:
                before = listeners.seen(HOSTS, port)
                host, answer = await _probe(session, port, endpoint)
                answers[answer.words.partition(" (")[0]] += 1
                # A socket that is newer than the question may not be the one that answered it.
                is_asked = bool(host) and listeners.answered(host, port) <= before
                if answer.status == 200 and is_asked:
                    other_host = host if also_port == port else listening_host(also_port)
                    if other_host:
                        listeners.answered(other_host, also_port)
                        return {also_port: other_host, port: host}
                    seen = f"{endpoint} is healthy, but nothing listens on port {also_port}; does the app read $PORT?"
                elif host:
                    seen = f"{endpoint} on port {port} answered {answer.words}, not 200"
                await asyncio.sleep(interval_s)
                interval_s = min(interval_s * 1.5, LONGEST_INTERVAL_S)
    except TimeoutError:
        probes = ", ".join(f"{count} x {words}" for words, count in answers.items())
        raise Unhealthy(f"not healthy within {timeout_s:g} s: {seen}{probes and f' ({probes})'}") from None


def _session(mark: int) -> aiohttp.ClientSession:
    def connection(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, *_ = address
        raw = socket.socket(family, kind, protocol)
        if family == socket.AF_INET6:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, mark)
        else:
            raw.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, mark)
        return raw

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=connection))


async def _probe(session: aiohttp.ClientSession, port: int, endpoint: str) -> tuple[str, Answer]:
    """Returns the address that accepted the connection (empty: none did) and what came."""
    refusals = []
    for _, host in FAMILIES:
        try:
            return host, await _ask(session, host, port, endpoint, PROBE_TIMEOUT_S)
        except aiohttp.ClientConnectorError as error:
            refusals.append(_no_connection(error))
    return "", Answer(0, refusals[0])


async def _ask(session: aiohttp.ClientSession, host: str, port: int, endpoint: str, limit_s: float) -> Answer:
    """Raises ClientConnectorError."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{endpoint}"
    try:
        timeout = aiohttp.ClientTimeout(total=limit_s)
        async with session.get(url, allow_redirects=False, timeout=timeout) as reply:
            return Answer(reply.status, str(reply.status))
    except aiohttp.ClientConnectorError:
        raise
    except TimeoutError:
        return Answer(0, f"nothing within {limit_s:g} s")
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        return Answer(0, "nothing (it closed the connection)")
    except aiohttp.ClientError as error:
        return Answer(0, f"what is not HTTP ({' '.join(str(error).split())})")


def _no_connection(error: aiohttp.ClientConnectorError) -> str:
    number = error.os_error.errno
    return os.strerror(number).lower() if number else str(error.os_error)
