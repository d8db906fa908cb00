"""Whether a deploy would change anything."""

from dataclasses import dataclass

from slot_machine.app.configurations import Configurations
from slot_machine.app.seams import Starter, Trees
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.errors import SlotMachineError
from slot_machine.core.model import Version
from slot_machine.state.store import Store


@dataclass(frozen=True)
class AlreadyLive:
    _store: Store
    _worktrees: Trees
    _configurations: Configurations
    _launcher: Starter
    _supervisor: Supervisor

    async def find(self, commitish: str) -> Version | None:
        """The live version, if it is healthy and a deploy would neither change its code nor what it is started with."""
        live = self._store.state().live
        if not live or not self._supervisor.healthy:
            return None
        try:
            if await self._worktrees.resolve(commitish) != live.commit:
                return None
            config, _ = await self._configurations.of(live.commit)
        except SlotMachineError:
            return None  # The deploy will say what is wrong.
        release = self._supervisor.release
        if not release or not release.running or config != live.config:
            return None
        return live if release.web.env_digest == self._launcher.env_file_digest() else None
