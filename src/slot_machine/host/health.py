"""The health check: polled from the first milliseconds on, at intervals that grow."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp

from slot_machine.host.ports import FAMILIES, listening_host

FIRST_INTERVAL_S = 0.01
LONGEST_INTERVAL_S = 0.5
PROBE_TIMEOUT_S = 5.0


class Unhealthy(Exception):
    """No 200 in time; the message says what came instead."""


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
    port: int,
    endpoint: str,
    also_port: int,
    timeout_s: float,
    first: Callable[[], Awaitable[None]] = nothing_first,
    mark: int = 0,
) -> dict[int, str]:
    """Waits for `first`, for a 200 of `endpoint` on `port`, and for somebody to listen on `also_port`.

    The requests carry `mark` as their type of service (ip(7)). Returns the loopback address on which each port listens.
    Raises Unhealthy, Exited as soon as the app exits, and what `first` raises.
    """
    exited = asyncio.create_task(app.exited())
    healthy = asyncio.create_task(_poll(port, endpoint, also_port, timeout_s, first, mark))
    try:
        await asyncio.wait({exited, healthy}, return_when=asyncio.FIRST_COMPLETED)
        if exited.done():
            raise Exited(exited.result())
        return healthy.result()
    finally:
        for task in (exited, healthy):
            task.cancel()
        await asyncio.gather(exited, healthy, return_exceptions=True)


async def _poll(
    port: int, endpoint: str, also_port: int, timeout_s: float, first: Callable[[], Awaitable[None]], mark: int
) -> dict[int, str]:
    seen = f"nothing listens on port {port}; does the app read $PORT?"
    if port != also_port:
        seen = (
            f"nothing listens on port {port}, where health is checked because internal_port is not the same as port;"
            " does the app listen on $INTERNAL_PORT as well?"
        )
    interval_s = FIRST_INTERVAL_S
    try:
        async with asyncio.timeout(timeout_s), _session(mark) as session:
            await first()
            while True:
                host, answer = await _probe(session, port, endpoint)
                if host and answer == 200:
                    other_host = host if also_port == port else listening_host(also_port)
                    if other_host:
                        return {also_port: other_host, port: host}
                    seen = f"{endpoint} is healthy, but nothing listens on port {also_port}; does the app read $PORT?"
                elif host:
                    seen = f"{endpoint} on port {port} answered {answer}, not 200"
                await asyncio.sleep(interval_s)
                interval_s = min(interval_s * 1.5, LONGEST_INTERVAL_S)
    except TimeoutError:
        raise Unhealthy(f"not healthy within {timeout_s:g} s: {seen}") from None


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


async def _probe(session: aiohttp.ClientSession, port: int, endpoint: str) -> tuple[str, int | str]:
    """Returns the address that accepted the connection (empty: none did) and what came."""
    for _, host in FAMILIES:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}{endpoint}"
        try:
            timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
            async with session.get(url, allow_redirects=False, timeout=timeout) as reply:
                return host, reply.status
        except aiohttp.ClientConnectorError:
            continue
        except TimeoutError:
            return host, f"nothing within {PROBE_TIMEOUT_S:g} s"
        except aiohttp.ClientError as error:
            return host, f"what is not HTTP ({error})"
    return "", ""
