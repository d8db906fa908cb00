"""What Traefik serves: its files, and its word that it has taken them on."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from slot_machine.core.errors import EdgeRefused
from slot_machine.edge import binary, folder, internal, routes, static
from slot_machine.edge.admin import Admin
from slot_machine.edge.reload import Handed
from slot_machine.edge.routes import Routes
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.traefik import Line, Runner
from slot_machine.edge.wire import Held
from slot_machine.host.process.threads import in_thread

OWN, STATIC, INTERNAL = "edge", "traefik.yml", "internal"

log = logging.getLogger(__name__)


class Serving:
    """One call at a time: the caller sees to that. `prune` is called before a Traefik starts."""

    def __init__(
        self,
        settings: EdgeSettings,
        traefik: binary.Traefik,
        runner: Runner,
        token: str,
        held: Mapping[str, Held],
        asks: Callable[[str], bool],
        prune: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._state = Path(settings.state)
        self._folder = self._state / static.ROUTES
        self._runner = runner
        self._held = held
        self._asks = asks
        self._prune = prune
        self._admin = Admin(lambda: runner.admin_port, token)
        self._running = b""
        """The static configuration of the Traefik that runs."""
        self.traefik = traefik
        self.token = token

    async def start(self, said: Callable[[Line], None]) -> None:
        """Raises EdgeRefused, OSError, ValueError."""
        self._prune()
        wanted = await self._wanted()
        self._write(wanted)
        self._running = self._static()
        folder.keep(self._state / STATIC, self._running)
        await self._runner.start(self.traefik, self._state / STATIC, said, http3=self._http3)
        if reason := await self._admin.wrong(_routers(wanted)):
            log.error("%s", reason)

    async def take_over(self, handed: Handed, said: Callable[[Line], None]) -> None:
        """After a reload: a new Traefik takes the place of the running one.

        Raises EdgeRefused, and then the running one serves on. Raises OSError, ValueError.
        """
        self._runner.adopt(handed, self._state / STATIC, self.traefik, said)
        self._running = (self._state / STATIC).read_bytes()
        try:
            await self.replace(self.traefik)
        finally:
            self._running = self._static()  # It is not tried again before something changes.

    async def apply(self, key: str = "", *, ask: bool = True) -> str:
        """Writes the file. Returns why Traefik does not serve them; without `ask` it is asked only after a change.

        `key` is that of an app whose old routes must be gone. Raises EdgeRefused, OSError, ValueError.
        """
        wanted = await self._wanted()
        changed = self._write(wanted)
        if self._static() != self._running:
            await self.replace(self.traefik)
        return await self._admin.wrong(_routers(wanted), gone=key) if ask or changed else ""

    async def replace(self, traefik: binary.Traefik) -> None:
        """Raises EdgeRefused, OSError, ValueError."""
        self._prune()
        wanted, configuration = await self._wanted(), self._static()
        self._write(wanted)
        folder.write(self._state / STATIC, configuration)
        ready = partial(self._admin.wrong, _routers(wanted))
        if reason := await self._runner.replace(traefik, self._state / STATIC, ready, http3=self._http3):
            folder.write(self._state / STATIC, self._running)
            raise EdgeRefused(f"the new Traefik was ended: {reason}", "the old one serves on")
        self.traefik, self._running = traefik, configuration

    async def _wanted(self) -> dict[str, Routes]:
        """By the keys of apps."""
        wanted = {OWN: routes.own(self._settings, self.token)}
        for key, held in list(self._held.items()):
            wish = held.wish
            if wish.tls == "internal":
                pair = partial(internal.pair_for, self._state / INTERNAL, key, wish.names, datetime.now(UTC))
                cert, private = await in_thread(pair)
                wish = msgspec.structs.replace(wish, cert=cert, key=private)
            wanted[key] = routes.of_app(self._settings, key, wish, self._asks)
        return wanted

    def _write(self, wanted: Mapping[str, Routes]) -> bool:
        return folder.settle(self._folder, {static.FILE: routes.merged(wanted.values())})

    def _static(self) -> bytes:
        return static.static(self._settings, http3=self._http3)

    @property
    def _http3(self) -> bool:
        return any(held.wish.http3 for held in self._held.values())


def _routers(wanted: Mapping[str, Routes]) -> list[str]:
    return [router for one in wanted.values() for router in one.routers]
