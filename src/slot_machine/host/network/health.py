"""Waits until an app that was started is healthy: it is asked from its first milliseconds on."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Protocol

from slot_machine.core.backoff import growing
from slot_machine.host.network.listeners import Listeners
from slot_machine.host.network.ports import HOSTS, listening_host
from slot_machine.host.network.probe import Answer, NotConnected, Probe, ask

FIRST_INTERVAL_S = 0.01
LONGEST_INTERVAL_S = 0.5
PROBE_TIMEOUT_S = 5.0


class Unhealthy(Exception):
    """No healthy answer came in time. The message says what came instead.

    `answer` is the last one of a process that accepted the connection, None if there was none. `missing` are the ports
    on which nothing listened.
    """

    def __init__(self, message: str, answer: Answer | None, missing: tuple[int, ...]) -> None:
        super().__init__(message)
        self.answer = answer
        self.missing = missing


class Exiting(Protocol):
    async def exited(self) -> int: ...


class Exited(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def wait_healthy(
    app: Exiting, listeners: Listeners, probe: Probe, also_port: int, timeout_s: float
) -> dict[int, str]:
    """Waits for a healthy answer, and until somebody listens on `also_port`.

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


async def _poll(listeners: Listeners, probe: Probe, also_port: int, timeout_s: float) -> dict[int, str]:
    port, endpoint = probe.port, probe.endpoint
    seen, last = _nothing_on(port, also_port), None
    missing: tuple[int, ...] = (port,)
    answers: Counter[str] = Counter()
    ends_s = time.monotonic() + timeout_s
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await probe.begin()
    for interval_s in growing(FIRST_INTERVAL_S, LONGEST_INTERVAL_S):
        left_s = ends_s - time.monotonic()
        if left_s <= 0:
            break
        before = listeners.seen(HOSTS, port)
        host, answer = await _ask_either(probe, min(PROBE_TIMEOUT_S, left_s))
        answers[answer.words.partition(" (")[0]] += 1
        # A socket that is newer than the question may not be the one that answered it.
        is_asked = bool(host) and listeners.answered(host, port) <= before
        if answer.healthy and is_asked:
            if other_host := host if also_port == port else listening_host(also_port):
                listeners.answered(other_host, also_port)
                return {also_port: other_host, port: host}
            seen = f"{endpoint} is healthy, but nothing listens on port {also_port}; does the app read $PORT?"
            last, missing = answer, (also_port,)
        elif host:
            seen = f"{endpoint} on port {port} answered {answer.words}, not {probe.expected}"
            last, missing = answer, ()
        await asyncio.sleep(min(interval_s, max(ends_s - time.monotonic(), 0)))
    counts = ", ".join(f"{count} x {words}" for words, count in answers.items())
    raise Unhealthy(f"not healthy within {timeout_s:g} s: {seen}{counts and f' ({counts})'}", last, missing)


def _nothing_on(port: int, also_port: int) -> str:
    if port == also_port:
        return f"nothing listens on port {port}; does the app read $PORT?"
    return (
        f"nothing listens on port {port}, where health is checked because internal_port is not the same as port;"
        " does the app listen on $INTERNAL_PORT as well?"
    )


async def _ask_either(probe: Probe, limit_s: float) -> tuple[str, Answer]:
    """Tries IPv4, then IPv6. Returns the address that accepted the connection, empty if none did, and the answer."""
    refusals = []
    for host in HOSTS:
        try:
            return host, await ask(host, probe, limit_s)
        except NotConnected as error:
            refusals.append(str(error))
    return "", Answer(0, refusals[0])
