"""Whether the live app is healthy: it is asked at an interval, and does not count as healthy soon after a crash."""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress

from slot_machine.app.notices import NOBODY, Notices
from slot_machine.app.release import Release, describe
from slot_machine.app.seams import Starter
from slot_machine.core.daemon_config import DaemonConfig

log = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 3
SETTLED_AFTER_S = 5.0
"""An app that crashed counts as healthy again when it has stayed up for this long."""
SHORTEST_PAUSE_S = 0.05
FIRST_ANSWER_S = 1.0
"""A daemon that takes the app over waits this long for its answer; after that it asks at the usual interval."""


class Monitor:
    """`reason` says why the running app is not healthy; it is empty while the app is healthy.

    While `deploying` is set, an unhealthy app is not started again, because another version may be about to replace it.
    """

    def __init__(self, config: DaemonConfig, launcher: Starter, notices: Notices = NOBODY) -> None:
        self._config = config
        self._launcher = launcher
        self._notices = notices
        self._crashed = False
        self._settled_s = 0.0
        self._in_a_row = 0
        self._sick = ""
        self.failures: Counter[str] = Counter()
        """The health checks that failed since the daemon began, by what came instead of a healthy answer."""
        self.deploying = False

    @property
    def reason(self) -> str:
        if self._crashed and not self._sick:
            return f"started again after it had ended, less than {SETTLED_AFTER_S:g} s ago"
        return self._sick

    @property
    def failing(self) -> str:
        """Why it is not healthy, if it has failed its health check several times in a row."""
        return self._sick if self._in_a_row >= FAILURES_IN_A_ROW else ""

    def proven(self) -> None:
        """Another release went live; its health was proven right before."""
        self._crashed = False
        self._well()

    async def taken_over(self, release: Release) -> None:
        """The release comes from an earlier daemon, and may hang. It counts as healthy once it has answered."""
        self.proven()
        if self._config.health_interval_s:
            self._sick = "it has not answered its health check since this daemon took it over"
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_ANSWER_S):
                    await self._ask(release)

    def crashed(self) -> None:
        self._crashed = True

    def started_again(self) -> None:
        """The app has been started and was healthy. After a crash, it must stay up before it counts as healthy."""
        self._settled_s = time.monotonic() + SETTLED_AFTER_S
        self._well()

    async def until_to_be_started_again(self, release: Release) -> None:
        """Returns when the app is unhealthy, if the configuration says that it is then started again."""
        if self._crashed:
            await asyncio.sleep(self._settled_s - time.monotonic())
            self._crashed = False
            self._recovered(release)
        interval_s = self._config.health_interval_s
        if not interval_s:
            await asyncio.get_running_loop().create_future()
        # If it is not known to be healthy, it is asked at once.
        asked_s = time.monotonic() - (interval_s if self._sick else 0)
        while not self._to_be_started_again():
            await asyncio.sleep(max(asked_s + interval_s - time.monotonic(), SHORTEST_PAUSE_S))
            asked_s = time.monotonic()
            await self._ask(release)

    def _to_be_started_again(self) -> bool:
        return self._in_a_row >= FAILURES_IN_A_ROW and self._config.restart_when_unhealthy and not self.deploying

    async def _ask(self, release: Release) -> None:
        try:
            answer = await self._launcher.probe(release)
        except OSError as error:
            log.warning("cannot ask for the health of %s, so nothing is known: %s", describe(release.version), error)
            return
        if answer.healthy:
            if self._sick:
                self._recovered(release)
            self._well()
        else:
            self._failed(release, answer.words)

    def _failed(self, release: Release, words: str) -> None:
        self.failures[words.partition(" (")[0]] += 1
        self._in_a_row += 1
        if self._in_a_row < FAILURES_IN_A_ROW:
            return
        config = release.version.config
        what = f"{config.health_endpoint} answered {words}, not {config.health_status}"
        reason = f"{what}, {FAILURES_IN_A_ROW} times in a row or more"
        if self._in_a_row == FAILURES_IN_A_ROW:
            log.error("%s is unhealthy: %s", describe(release.version), reason)
            self._notices.unhealthy(release.version, reason)
        self._sick = reason

    def _recovered(self, release: Release) -> None:
        log.info("%s is healthy again", describe(release.version))
        self._notices.recovered(release.version)

    def _well(self) -> None:
        self._sick, self._in_a_row = "", 0
