"""Back from a version that is live and watched to the one before it, which stays ready meanwhile."""

import asyncio
import logging
from dataclasses import dataclass

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.failures import going_on, in_words
from slot_machine.app.parts import Parts
from slot_machine.app.release import Release, describe
from slot_machine.app.rollout import longest_hold_s
from slot_machine.core.candidate import Candidate
from slot_machine.core.model import State, Version
from slot_machine.core.upstream import Beside
from slot_machine.core.verdict import Verdict
from slot_machine.state.history import KEPT_ATTEMPTS

log = logging.getLogger(__name__)


@dataclass
class GoingBack:
    """`before` is the state before the switch. `old` is the release that was live then, if it still runs.

    `keeps`: the verdict for which the new version is kept for a look when it is taken back; None: it ends.
    """

    parts: Parts
    attempt: RunningAttempt
    before: State
    new: Version
    old: Release | None
    keeps: Verdict | None = None

    @property
    def version(self) -> Version:
        assert self.before.live
        return self.before.live

    async def stand_by(self) -> None:
        """The old release gets the requests that the new one does not take."""
        if self.old and self.old.upstream:
            with going_on(f"cannot tell the data plane that {describe(self.version)} stays ready"):
                await self.parts.mode.traffic.offer(Beside(self.old.upstream, stands_in=True))

    async def leave(self) -> None:
        """The new version is to stay: the old release gets no requests any more."""
        with going_on("cannot write down that the watch is over"):
            self.parts.store.end_watch()
        if self.old:
            with going_on("cannot tell the data plane that nothing stays ready"):
                await self.parts.mode.traffic.offer(None)

    def make_way(self) -> None:
        """The new version is started again. Where both have the same port, the old one must end before that."""
        if self.old and self.parts.mode.no_hold:
            self.parts.candidates.end_release(self.old)
            self.old = None

    def give_up(self) -> None:
        """As `leave`, and the old release ends: whoever watches can't see to that any more."""
        with going_on("cannot write down that the watch is over"):
            self.parts.store.end_watch()
        if self.old:
            self.parts.candidates.end_release(self.old)

    async def go(self) -> None:
        try:
            await self._go()
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                what = in_words(error) if isinstance(error, Exception) else repr(error)
                self.attempt.warn(f"could not go back to {describe(self.version)}: {what}")
            if self.parts.store.state() != self.before:
                self.attempt.stays = True
                self.give_up()
            raise

    async def _go(self) -> None:
        after = self.parts.store.state()
        reason = await self.parts.mode.reason_to_stop_first(self.version)
        if self.old and self.old.running:
            await self._switch(self.old)
        elif self.parts.supervisor.running and not reason:
            again = await self.parts.launcher.launch_beside(self.version, lambda: None, self.attempt.warn)
            await self._switch(again)
        else:
            await self._start_again()
        self.attempt.is_back = True
        with going_on("cannot tell whether a release command ran"):
            self._warn_of_release()
        with going_on("cannot see to what the app wrote into its tree"):
            await self.parts.slots.left(self.attempt, after)

    def _warn_of_release(self) -> None:
        """It may have run in an earlier attempt, in which the version was held."""
        deploys = self.parts.store.attempts(KEPT_ATTEMPTS, jobs=False, crashes=False)
        records = (self.attempt.record, *(record for record in deploys if record.commit == self.new.commit))
        if released := next((record.released for record in records if record.released), ""):
            self.attempt.warn(f"the release command ran, and going back does not undo it: `{released}`")

    async def _switch(self, old: Release) -> None:
        parts, traffic = self.parts, self.parts.mode.traffic
        routed, new = False, parts.supervisor.release
        try:
            bad = await parts.supervisor.pause()
            with going_on(f"cannot route to {describe(old.version)}, trying again"):
                self.attempt.count(await traffic.route(old.upstream))
                routed = True
            failed = self._failed(bad) if bad else None
            parts.store.save_state(self.before, failed)
        except BaseException:
            try:
                await traffic.route(new.upstream if new and new.running else None)
            finally:
                if old is not self.old:
                    await old.stop(old.version.config.drain_timeout_s / 2)
            raise
        parts.launcher.logs.switched(old.version.slot, old.version.commit)
        parts.supervisor.watch(old, self.attempt.record.id, routed=routed)
        parts.slots.link()
        if bad and failed:
            await parts.candidates.keep_failed(bad, failed)
        elif bad:
            await self._end(bad)
        elif new and new.upstream:
            with going_on("cannot tell the data plane that the new version has ended"):
                await traffic.forget(new.upstream)

    async def _start_again(self) -> None:
        """Where the two can't run at once, or neither runs."""
        parts, version = self.parts, self.version
        await parts.rollout.stop_side_runs(self.attempt)
        bad = await parts.supervisor.pause()
        parts.store.save_state(self.before)
        with going_on("cannot hold requests"):
            await parts.mode.traffic.hold(longest_hold_s(self.new, version))
        if bad:
            await parts.rollout.retire(self.attempt, bad)
        await parts.slots.mend(self.attempt, version)
        await parts.supervisor.start_again(version, self.attempt.record.id)
        parts.slots.link()

    async def _end(self, bad: Release) -> None:
        try:
            await self.parts.rollout.retire(self.attempt, bad)
        except BaseException:
            self.parts.candidates.end_release(bad)
            raise

    def _failed(self, bad: Release) -> Candidate | None:
        if self.keeps is None:
            return None
        return self.parts.candidates.failed_one(bad.version, self.attempt.record.id, self.keeps)
