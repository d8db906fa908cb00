"""Shares one path of a version that is prepared: where its data comes from, and what lies in the way of the link."""

from collections.abc import Sequence
from dataclasses import dataclass

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.custody import Custody
from slot_machine.app.places import Places
from slot_machine.app.release import describe
from slot_machine.core.model import Version
from slot_machine.core.shared_paths import SharedPath
from slot_machine.host.files import seeds, shared
from slot_machine.host.files.kept import in_words
from slot_machine.host.files.moving import InUse

LEFT = "was left there by an earlier version"


@dataclass(frozen=True)
class Seeding:
    """Each call raises OSError, GitFailed, CannotList."""

    _places: Places
    _custody: Custody

    async def share(self, attempt: RunningAttempt, version: Version, path: SharedPath) -> None:
        """Raises InUse as well, if the live version has a database open and goes on to run."""
        places, tree = self._places, self._places.tree(version)
        tracked = await places.tracked(version, path)
        await places.do(lambda: shared.check_place(tree, path, tracked))
        live = places.live_beside(version)
        if live and await places.found(live, path) == "other":
            own = places.tree(live) / path.place
            await places.do(lambda: places.shared.give_way(path, own))
        is_new = not await places.has(path)
        if is_new:
            await self._seed(attempt, version, path, tracked)
        else:
            await self._tell_of_own(attempt, version, path)
        await self._clear(attempt, version, path, tracked, is_new=is_new)
        if path.is_folder or places.waits(version, path) or await places.has(path):
            await places.link(version, path)
        await places.hide(version, tracked)

    async def keep(self, attempt: RunningAttempt, version: Version, names: Sequence[str], why: str) -> None:
        for name in names:
            attempt.warn(f"{name} in slot {version.slot} {why}")
        if names:
            async with self._custody.clearing(attempt, version) as clearing:
                await clearing.move(list(names))

    async def _seed(self, attempt: RunningAttempt, version: Version, path: SharedPath, tracked: Sequence[str]) -> None:
        """The live version's data comes first, then the commit's. A file that nobody has is not made."""
        places, live = self._places, self._places.live_beside(version)
        if live and await places.found(live, path) == "other":
            try:
                await places.move(live, path)
            except InUse:
                if version.config.strategy != "replace":
                    raise
                places.waiting.setdefault(version.tree, []).append(path)
                return
            attempt.output(f"moved {path.place} of {describe(live)} to {places.shared.target(path)}")
        if tracked:
            await self._seed_from_commit(attempt, version, path, tracked)
        if path.is_folder and not await places.has(path):
            await places.do(lambda: places.shared.make_folder(path))

    async def _seed_from_commit(
        self, attempt: RunningAttempt, version: Version, path: SharedPath, tracked: Sequence[str]
    ) -> None:
        places, tree = self._places, self._places.tree(version)
        target = places.shared.target(path)
        others = await places.do(lambda: seeds.others(tree, tracked, path.place))
        await self.keep(attempt, version, others, LEFT)
        if not await places.has(path):
            await places.do(lambda: seeds.hand_over(tree, path, places.shared))
        elif path.is_folder and not await places.do(lambda: shared.has_content(target)):
            await places.do(lambda: seeds.fill(tree / path.place, target))

    async def _clear(
        self, attempt: RunningAttempt, version: Version, path: SharedPath, tracked: Sequence[str], *, is_new: bool
    ) -> None:
        """Removes the commit's files at a place, and keeps all others. Names those of the commit that are hidden."""
        places, tree, data = self._places, self._places.tree(version), self._places.data(version, path)
        if await places.found(version, path) == "link":
            return
        if hidden := await places.do(lambda: seeds.hidden(tree, tracked, path, data)):
            why = f"because {data} has others or none"
            attempt.warn(f"{describe(version)} does not see these files of its commit, {why}: {in_words(hidden)}")
            if is_new:
                await self.keep(attempt, version, hidden, "is the commit's; the live version's data is used")
        if await places.do(lambda: seeds.remove(tree, tracked, path.place)):
            await self.keep(attempt, version, [path.place], LEFT)

    async def _tell_of_own(self, attempt: RunningAttempt, version: Version, path: SharedPath) -> None:
        places, live = self._places, self._places.live_beside(version)
        if not live or await places.found(live, path) != "other":
            return
        tree, target = places.tree(live), places.shared.target(path)
        if own := await places.do(lambda: seeds.hidden(tree, seeds.some_files(tree, path.place), path, target)):
            attempt.warn(f"{describe(live)} wrote {in_words(own)} in its own tree; {target} is used instead")
