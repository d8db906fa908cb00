"""A tree in which the app has written, and what of it a checkout keeps."""

import asyncio

from slot_machine.app.custody import Clearing
from slot_machine.core.model import Made
from slot_machine.host.files.app_files import AppFiles
from slot_machine.host.files.reserve import Reserve
from tests.repository import Repository


class Tree:
    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.path = repository.slot
        self.made = Made()
        self.kept = repository.slot.parent / "kept" / "x"
        self.begun_ns = 1

    def app_files(self) -> AppFiles:
        return AppFiles(self.repository.worktrees.try_git, self.path, self.made, self.begun_ns)

    def set_up(self, *names: str) -> None:
        """A setup that writes these."""

        async def made() -> Made:
            app_files = self.app_files()
            await app_files.before_setup()
            self.repository.leave(*names)
            return await app_files.of_setup()

        self.made = asyncio.run(made())

    def checkout(self, commit: str) -> set[str]:
        """Returns what was kept."""
        clearing = Clearing(self.app_files(), self.path, self.kept, Reserve(self.path.parent))
        asyncio.run(self.repository.worktrees.checkout(1, commit, clearing))
        return set(clearing.moved)
