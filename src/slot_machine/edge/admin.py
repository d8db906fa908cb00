"""Asks Traefik's API, on loopback, what it serves."""

import asyncio
import http.client
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import msgspec

from slot_machine.edge.routes import TOKEN_FIELD
from slot_machine.host.process.threads import in_thread

LIMIT_S = 10.0
"""In which Traefik takes a file on."""
ASK_LIMIT_S = 3.0
POLL_S = 0.05


class Router(msgspec.Struct, frozen=True):
    name: str
    status: str = ""
    error: tuple[str, ...] = ()


class Admin(NamedTuple):
    """`port` is where the Traefik listens that is asked."""

    port: Callable[[], int]
    token: str

    def routers(self) -> dict[str, Router]:
        """Those of files, by name. Raises OSError, http.client.HTTPException, msgspec.MsgspecError. Blocks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=ASK_LIMIT_S)
        try:
            path = "/api/http/routers?per_page=100000&search=@file"
            connection.request("GET", path, headers={TOKEN_FIELD: self.token})
            reply = connection.getresponse()
            if reply.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"status {reply.status}")
            found = msgspec.json.decode(reply.read(), type=list[Router])
        finally:
            connection.close()
        return {router.name.removesuffix("@file"): router for router in found}

    async def wrong(self, wanted: Iterable[str], gone: str = "") -> str:
        """Waits until Traefik serves all `wanted` routers, and no others that begin with `gone`.

        Returns why it does not, after `LIMIT_S`.
        """
        wanted = set(wanted)
        end_s = time.monotonic() + LIMIT_S
        while True:
            reason = await in_thread(partial(self._wrong, wanted, gone))
            if not reason or time.monotonic() > end_s:
                return reason
            await asyncio.sleep(POLL_S)

    def _wrong(self, wanted: set[str], gone: str) -> str:
        try:
            routers = self.routers()
        except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
            return f"Traefik does not answer: {error}"
        for name in sorted(wanted):
            if name not in routers:
                return f"Traefik has not taken on {name}"
            if routers[name].status != "enabled":
                return f"Traefik refuses {name}: {'; '.join(routers[name].error) or routers[name].status}"
        left = sorted(name for name in routers if gone and name.startswith(gone) and name not in wanted)
        return f"Traefik still has {left[0]}" if left else ""
