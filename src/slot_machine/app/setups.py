"""Runs the setup of a version, or skips it if nothing has changed that it depends on."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.release import describe
from slot_machine.app.seams import Facts, Starter, Trees
from slot_machine.app.stage_commands import StageCommands, setup_of
from slot_machine.core import client_variables
from slot_machine.core.model import TREES, SetUp, Version
from slot_machine.core.phases import Phase
from slot_machine.core.setup.command import NAMING
from slot_machine.core.setup.decision import COMMAND, Needs, in_words, reason_to_run, reason_to_skip
from slot_machine.core.setup.files import Files
from slot_machine.core.setup.inputs import Inputs, inputs_of
from slot_machine.host.files import installed
from slot_machine.host.files.app_files import AppFiles
from slot_machine.host.files.regular import open_regular
from slot_machine.host.git.listing import Listing
from slot_machine.host.process.containment import owner
from slot_machine.host.process.threads import in_thread
from slot_machine.state.store import Store

Result = TypeVar("Result")

SKIPPED = "the setup was skipped, as it has ended well before; `slot-machine deploy --setup` runs it again"

LARGEST_INPUT = 50_000_000
"""A larger file is read up to here, in bytes."""


class Wish(NamedTuple):
    """`forced`: the setup runs in any case. `is_retry`: the last deploy into this tree did not become live."""

    forced: bool = False
    is_retry: bool = False


@dataclass(frozen=True)
class Setups:
    _worktrees: Trees
    _store: Store
    _launcher: Starter
    _commands: StageCommands
    _facts: Facts

    async def run(
        self, attempt: RunningAttempt, version: Version, folder: Path, app_files: AppFiles, wish: Wish
    ) -> bool:
        """After the checkout, in `folder`. Tells why it runs or not, and returns whether it ran.

        Raises StageFailed; then the next one runs.
        """
        if not version.config.setup_command:
            # The build may change what an earlier setup left.
            self._store.save_setup(version.tree, None)
            return False
        needs = await self._needs(version, folder)
        reason = "--setup" if wish.forced else await self._reason_to_run(version, needs, is_retry=wish.is_retry)
        if not reason:
            attempt.summarize(f"skipped: {reason_to_skip(needs)}")
            attempt.hint = SKIPPED if needs.inputs.doubt else ""
            return False
        attempt.output(f"runs: {reason}")
        self._store.save_setup(version.tree, None)
        await self._seed(attempt, version, needs.inputs)
        await self._commands.run(attempt, version, folder, setup_of(version.config))
        await self._mark(version, needs, app_files)
        return True

    def remember_build(self, version: Version) -> None:
        """Which variables have been built into the tree's files just now. Raises StageFailed."""
        env = self._launcher.environment(version, Phase.BUILD, {})
        self._store.save_build_variables(version.tree, client_variables.digests(env))

    def warn_of_build(self, attempt: RunningAttempt, version: Version) -> None:
        """For a version that is started without a build. Raises StageFailed."""
        env = self._launcher.environment(version, Phase.START, {})
        built = self._store.build_variables(version.tree)
        if built is not None and (names := client_variables.changed(built, client_variables.digests(env))):
            what = f"{in_words(names)} changed since {describe(version)} was built"
            attempt.warn(f"{what}: only a new build applies that, such as by `slot-machine deploy --force`")

    async def _needs(self, version: Version, folder: Path) -> Needs:
        config, env = version.config, self._launcher.environment(version, Phase.SETUP, {})
        command, tree = config.setup_command or "", self._worktrees.path(version.tree)
        digests, links = await Listing(self._worktrees.try_git, tree).objects()
        files = Files(digests, lambda name: _text(tree / name), links)
        inputs = await _in_thread_if(digests, lambda: _inputs(command, config.root, config.setup_inputs, files))
        naming = [name for name in sorted(env) if NAMING.fullmatch(name) and name.partition("_")[0].lower() in command]
        if naming and config.setup_inputs is None:
            doubt = f"{naming[0]} names other files; setup_inputs can name those"
            inputs = inputs._replace(doubt=inputs.doubt or doubt)
        facts = await self._facts(folder, env, owner(self._worktrees.data), inputs.programs)
        own = {COMMAND: _digest(command), "root": config.root}
        return Needs(version.commit, inputs, facts | own, _digest_of(env))

    async def _reason_to_run(self, version: Version, needs: Needs, *, is_retry: bool) -> str:
        last = self._store.setup(version.tree)
        reason = reason_to_run(last, needs, is_retry=is_retry)
        if reason or not last or not (last.installed or last.made):
            return reason
        tree = self._worktrees.path(version.tree)
        changed = await in_thread(lambda: installed.first_change(tree, last.installed, last.made))
        return f"{changed} is not as the setup left it" if changed else ""

    async def _seed(self, attempt: RunningAttempt, version: Version, inputs: Inputs) -> None:
        """Copies folders of packages that the tree lacks from another tree, if the setup goes on from what is there."""
        for name in inputs.seeds:
            target = self._worktrees.path(version.tree) / name
            if await in_thread(partial(os.path.lexists, target)):
                continue
            source = await in_thread(partial(_as_it_was_left, self._sources(version, name)))
            if not source:
                continue
            try:
                copied = await installed.copy(source, target, owner(self._worktrees.data))
                attempt.output(f"{'copied' if copied else 'could not copy'} {source}")
            except OSError as error:
                attempt.output(f"could not copy {source}: {error}")

    def _sources(self, version: Version, name: str) -> list[tuple[Path, str]]:
        """A folder of packages in other trees, first in that of the live version, with its digest after the setup."""
        live = self._store.state().live
        trees = sorted(set(TREES) - {version.tree}, key=lambda tree: not live or tree != live.tree)
        marked = ((tree, self._store.setup(tree)) for tree in trees)
        return [
            (self._worktrees.path(tree) / name, setup.installed[name])
            for tree, setup in marked
            if setup and name in setup.installed
        ]

    async def _mark(self, version: Version, needs: Needs, app_files: AppFiles) -> None:
        """Says that the tree has a finished setup, when that would survive a power cut."""
        made = (await app_files.of_setup()).files
        names, tree = needs.inputs.installed, self._worktrees.path(version.tree)
        digests = await _in_thread_if(names, lambda: {name: installed.digest(tree / name) for name in names})
        found = {name: digest for name, digest in digests.items() if digest}
        if found or made:
            await in_thread(lambda: installed.reach_the_disk(tree))
        setup = SetUp(version.commit, needs.inputs.digests, needs.facts, needs.environment, found, made)
        self._store.save_setup(version.tree, setup)


def _as_it_was_left(sources: list[tuple[Path, str]]) -> Path | None:
    """The first folder that nothing was removed from since: not every tool would see what is missing. Blocks."""
    return next((path for path, digest in sources if installed.digest(path) == digest), None)


def _inputs(command: str, root: str, given: tuple[str, ...] | None, files: Files) -> Inputs:
    """Blocks."""
    try:
        return inputs_of(command, root, given, files)
    except OSError as error:
        return Inputs({}, (), f"cannot read {error.filename}: {error.strerror}")


def _text(path: Path) -> str:
    """Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(LARGEST_INPUT).decode(errors="replace")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _digest_of(env: Mapping[str, str]) -> str:
    return _digest("\0".join(f"{name}={env[name]}" for name in sorted(env) if not name.startswith("SLOT_MACHINE")))


async def _in_thread_if(needed: object, work: Callable[[], Result]) -> Result:
    """In a thread only if there is anything to read."""
    return await in_thread(work) if needed else work()
