"""What a daemon does when it starts: it takes over the releases that still run, or starts the live version again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from slot_machine.app.candidates import TakesOver
from slot_machine.app.failures import going_on, in_words, log_failure
from slot_machine.app.parts import Parts
from slot_machine.app.release import Release, describe
from slot_machine.app.retirement import retire
from slot_machine.app.rollout import longest_hold_s
from slot_machine.app.watching import Watching
from slot_machine.core.errors import Stopping
from slot_machine.core.model import Version
from slot_machine.core.phases import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recovery:
    _parts: Parts
    _watching: Watching

    async def recover(self) -> None:
        """Raises nothing: what fails is tried again by the supervisor."""
        live = self._parts.store.state().live
        # An earlier daemon may have been killed right after it saved the state.
        self._parts.slots.link()
        with going_on("cannot take over what an earlier daemon left"):
            self._parts.preflight.measure_unknown()
            await self.take_over(live, {**self._parts.candidates.wanted(), **self._watching.find_left(live)})
        await self._parts.candidates.settle()
        if live and not self._parts.supervisor.watching and not self._watching.goes_back:
            await self._bring_back(live)

    async def take_over(self, live: Version | None, others: Mapping[Version, TakesOver]) -> None:
        """Goes on with the live version and with `others`, as far as they still run, and ends all other releases.

        `live` is what the state says: the traffic may have been switched, and that not been saved.
        """
        self._parts.supervisor.retirees.begin(self._parts.launcher.left_retiring())
        left = self._parts.launcher.left_running()
        wanted = ({live: self._parts.supervisor.take_over} if live else {}) | dict(others)
        for version, takes_over in wanted.items():
            found = (release for release in left if release.version == version and self._is_usable(release))
            if release := next(found, None):
                left.remove(release)
                log.info("took over %s, which runs as pid %d", describe(version), release.web.session.pid)
                await takes_over(release)
        if not self._parts.supervisor.watching:
            await self._let_wait(live)
        for release in left:
            log.warning("ending %s, left over from a daemon that did not stop cleanly", describe(release.version))
            with going_on(f"cannot clear away {describe(release.version)}"):
                await self._end(release)

    def _is_usable(self, release: Release) -> bool:
        """Whether it has been healthy, still runs, and can serve under the configuration of this daemon."""
        with going_on(f"cannot tell whether {describe(release.version)} can go on, so it is ended"):
            return bool(release.upstream and release.running and self._parts.launcher.can_adopt(release))
        return False

    async def _let_wait(self, live: Version | None) -> None:
        """Requests wait for the live version, which is started again; without one they are answered."""
        if live:
            with going_on("cannot hold requests"):
                await self._parts.mode.traffic.hold(longest_hold_s(live, live))
        else:
            with going_on("cannot tell that nothing is live"):
                await self._parts.mode.traffic.route(None)

    async def _end(self, release: Release) -> None:
        self._parts.supervisor.retirees.begin(release.take_side_runs())
        if release.upstream and release.running:
            await retire(self._parts.mode.traffic, release, release.version.config.drain_timeout_s)
        else:
            await release.stop(0)

    async def _bring_back(self, live: Version) -> None:
        version = live
        try:
            async with self._parts.attempts.begin("recovery", "start", lambda _: None) as attempt:
                attempt.describe(self._parts.commits.known(version.commit))
                attempt.aim(version)
                if usable := await self._parts.slots.checked_out(version):
                    await self._parts.slots.mend(attempt, version)
                else:
                    version = self._parts.placing.place_beside(attempt, version)
                event = await self._parts.placing.make_ready(attempt, version, usable=usable)
                release = await self._parts.rollout.bring_up(attempt, event, version, None)
                try:
                    attempt.on(Event.HEALTHY, describe(version))
                    await self._parts.mode.traffic.route(release.upstream)
                    if version != live:
                        self._parts.store.save_state(msgspec.structs.replace(self._parts.store.state(), live=version))
                except BaseException:
                    await release.stop(0)
                    raise
                self._parts.supervisor.watch(release, attempt.record.id)
                self._parts.slots.link()
                attempt.on(Event.SWITCHED)
                with going_on("cannot see to what the app wrote into its tree"):
                    await self._parts.slots.started(attempt.warn, version)
                attempt.on(Event.DRAINED)
        except Stopping:
            log.info("the daemon stops before %s is back", describe(version))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            if not self._parts.supervisor.watching:
                log_failure(f"cannot bring back {describe(live)}", error)
                await self._parts.supervisor.retry(live, in_words(error))
