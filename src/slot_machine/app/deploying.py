"""A deploy: a commit is found, prepared in a tree, and started; then it goes live, or is held."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from slot_machine.app import detached
from slot_machine.app.already_live import AlreadyLive
from slot_machine.app.attempt import Report, RunningAttempt
from slot_machine.app.detached import Early
from slot_machine.app.going_live import GoingLive
from slot_machine.app.outcomes import PLAIN, Done, Outcome, Unchanged, Wishes
from slot_machine.app.parts import Parts
from slot_machine.app.release import describe
from slot_machine.core import own_limits
from slot_machine.core.errors import Impossible
from slot_machine.core.model import Version
from slot_machine.core.origin import UNKNOWN, Origin
from slot_machine.core.phases import Event
from slot_machine.core.version_config import VersionConfig

Check = Callable[[], Awaitable[None]]


async def agreed() -> None:
    """Refuses nothing."""


@dataclass(frozen=True)
class Asked:
    """A deploy as somebody asked for it."""

    commitish: str
    trigger: str
    report: Report
    wishes: Wishes = PLAIN
    origin: Origin = UNKNOWN
    check: Check = agreed
    """May refuse it, while nothing else can begin or switch."""


@dataclass(frozen=True)
class Deploying:
    _parts: Parts
    _live: GoingLive
    _already_live: AlreadyLive

    def deploy(self, asked: Asked) -> "asyncio.Task[Outcome]":
        """Raises Busy, Stopping, Impossible. The task returns what came of it."""
        operations, mode, wishes = self._parts.operations, self._parts.mode, asked.wishes
        operations.check_free()
        if wishes.hold and mode.no_hold:
            raise Impossible(f"no version can be held: {mode.no_hold}", "deploy without --hold")
        early = detached.early(wanted=wishes.detach)
        return detached.answered(self._parts.tasks, operations.begin(self._story(asked, early)), early)

    async def _story(self, asked: Asked, early: Early | None) -> Done | Unchanged:
        parts, wishes = self._parts, asked.wishes
        if unchanged := await parts.operations.found(self._before(asked)):
            return unchanged
        async with parts.attempts.begin("deploy", asked.trigger, asked.report, asked.origin) as attempt:
            attempt.holds, attempt.early = wishes.hold, early
            version = await self._resolved(attempt, asked)
            await parts.candidates.make_room(attempt)
            version = await parts.placing.place(attempt, version)
            await self._live.check_memory(attempt, version)
            await parts.slots.prepare(attempt, version, force_setup=wishes.force_setup)
            event = await parts.rollout.run_release_command(attempt, version)
            return await (self._live.hold if wishes.hold else self._live.go_live)(attempt, event, version)

    async def _before(self, asked: Asked) -> Unchanged | None:
        """What may end it before it is an attempt."""
        if asked.wishes.if_known:
            await self._parts.worktrees.resolve(asked.commitish)
        await asked.check()
        if asked.wishes.if_changed and (live := await self._already_live.find(asked.commitish)):
            previous = self._parts.state.previous
            return Unchanged(live, previous.commit if previous else "")
        return None

    async def _resolved(self, attempt: RunningAttempt, asked: Asked) -> Version:
        """The version of the commit, with its configuration. Raises CommitNotFound, StageFailed, Impossible."""
        parts, wishes = self._parts, asked.wishes
        attempt.on(Event.DEPLOY, asked.commitish)
        state = parts.state
        commit = await parts.worktrees.resolve(asked.commitish)
        attempt.describe(await parts.commits.of(commit), asked.origin.naming(asked.commitish, commit))
        attempt.aim(Version(state.idle_slot, commit, state.spare_tree))
        config, warnings = await parts.configurations.of(commit)
        version = Version(state.idle_slot, commit, state.spare_tree, config)
        attempt.aim(version)
        for warning in (*warnings, *own_limits.too_short(config)):
            attempt.warn(warning)
        self._live.check_environment(attempt, version)
        if wishes.hold:
            _check_can_hold(config, after_release=wishes.hold_after_release)
        attempt.on(Event.RESOLVED, describe(version))
        parts.attempts.resolved(attempt)
        return version


def _check_can_hold(config: VersionConfig, *, after_release: bool) -> None:
    """Raises Impossible."""
    if config.strategy == "replace":
        what = "strategy: replace lets no two versions run at once, so none can be held"
        raise Impossible(what, "deploy without --hold, or use the strategy overlap")
    if config.release_command and not after_release:
        what = "release_command runs before the version is held, so the live version would go on with the changed data"
        raise Impossible(what, "use --hold-after-release if the live version works with the changed data")
