"""Keeps the live release running: each of its runs is watched, and started again when it ends."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from slot_machine.app.failures import going_on
from slot_machine.app.monitor import Monitor
from slot_machine.app.notices import NOBODY, Notices
from slot_machine.app.outages import Outages
from slot_machine.app.release import Release, describe
from slot_machine.app.retirees import Retirees
from slot_machine.app.seams import Starter
from slot_machine.app.side_watch import SideWatch
from slot_machine.app.watch import Watch, WebWatch
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.model import WEB, Version
from slot_machine.core.side_runs import SideRun, parts, side_runs
from slot_machine.traffic.protocol import Traffic

log = logging.getLogger(__name__)


class Supervisor:
    """`release` is the live one, or the one that was live last. `watches` has one for each of its runs, by name.

    Any failure is logged and tried again. `all_restarts` and `switches` count since the daemon began. `warn` is called
    with the id of an attempt, and with what its version's side runs did wrong, during the attempt or later.
    `on_restart` is called with the version and that id when its web run was started again and serves.
    """

    def __init__(
        self,
        config: DaemonConfig,
        launcher: Starter,
        traffic: Traffic,
        outages: Outages,
        tasks: asyncio.TaskGroup,
        notices: Notices = NOBODY,
    ) -> None:
        self._launcher = launcher
        self.outages = outages
        self._traffic = traffic
        self._tasks = tasks
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._earlier_restarts: Counter[str] = Counter()
        self._attempt = 0
        self._notices = notices
        self.monitor = Monitor(config, launcher, notices)
        self.web = WebWatch(launcher, traffic, self.monitor, outages, self._restarted, notices)
        self.watches: dict[str, Watch] = {WEB: self.web}
        self.warn: Callable[[int, str], None] = lambda _, words: log.warning("%s", words)
        self.on_restart: Callable[[Version, int], None] = lambda _, __: None
        self.retirees = Retirees(tasks, self._warn_of)
        self.release: Release | None = None
        self.switches = 0

    @property
    def running(self) -> bool:
        """Whether the web run of the live release runs, healthy or not."""
        return self.release is not None and self.release.upstream is not None and self.release.running

    @property
    def healthy(self) -> bool:
        return self.running and not self.monitor.reason

    @property
    def unhealthy_reason(self) -> str:
        """Empty where it is healthy, or where nothing is live."""
        if self.running:
            return self.monitor.reason
        if self.watching:
            return f"it does not run: {self.web.last_exit or 'it is being started'}"
        return "it does not run: it makes way for another version" if self.release else ""

    @property
    def watching(self) -> bool:
        return bool(self._watching)

    @property
    def all_restarts(self) -> "Counter[str]":
        """By the names of processes."""
        restarts = self._earlier_restarts.copy()
        for watch in self.watches.values():
            restarts[parts(watch.name)[0]] += watch.restarts
        return restarts

    def watch(self, release: Release, attempt: int, *, routed: bool = True) -> None:
        """From here on, `release` is the live one. The side runs of the one before retire, and then its own begin.

        If its requests are not `routed` to it yet, that is tried again.
        """
        self._replaced(attempt, routed=routed)
        self.monitor.proven()
        self._keep(release)

    async def start_again(self, version: Version, attempt: int) -> None:
        """After a `pause`: makes a version live that does not run any more. Raises nothing: it is tried again."""
        self._replaced(attempt, routed=True)
        # What ended was another version.
        self.monitor.proven()
        await self.resume(version)

    def _replaced(self, attempt: int, *, routed: bool) -> None:
        self.switches += 1
        self._earlier_restarts = self.all_restarts
        self._attempt = attempt
        self._retire_side_runs()
        self.outages.replaced()
        self.web.begin(routed=routed)
        self.watches = {WEB: self.web}

    async def take_over(self, release: Release) -> None:
        """Goes on with what an earlier daemon made live."""
        self.release = release
        with going_on(f"cannot route to {describe(release.version)}"):
            await self.web.route(release)
        with going_on(f"cannot ask for the health of {describe(release.version)}"):
            await self.monitor.taken_over(release)
        self._keep(release)

    async def let_go(self) -> None:
        """Stops watching; all runs go on."""
        self.retirees.let_go()
        self.outages.leave()
        await self._unwatch(list(self._watching))

    async def pause(self) -> Release | None:
        """Stops watching, so that the live release can be replaced. Returns it if its web run runs, else ends that.

        A restart that is under way is undone.
        """
        await self._unwatch(list(self._watching))
        if self.running:
            return self.release
        if self.release:
            await self.release.stop(0)
        return None

    async def stop_side_runs(self, attempt: int) -> None:
        """Ends those of the live release, and waits for that; also for those that retire already.

        `resume`, `resume_side_runs` or the next version's `watch` starts side runs again.
        """
        await self._unwatch([name for name in self._watching if name != WEB])
        self._retire_side_runs(attempt, quiet=False)
        await self.retirees.all_gone()

    def end_side_runs(self) -> None:
        """When the daemon ends, after `pause`: tells all of them to end, at once."""
        self.retirees.hurry()
        self.outages.leave()
        self._retire_side_runs(quiet=False)

    def resume_side_runs(self) -> None:
        """Of the live release, whose web run is still watched."""
        if self.release:
            self._keep(self.release)

    async def resume(self, version: Version) -> None:
        """Takes care of `version` again after a `pause`: goes on with the release that still runs, else starts one."""
        stale = self.release if self.running else None
        release = stale if stale and stale.version == version and self._can_go_on(stale) else None
        try:
            if release:
                await self.web.route(release)
            else:
                release = await self._launcher.launch(version, lambda: None, self.tell)
                self._replace_release(release)
                await self.web.serve(release)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self.web.failed(f"cannot start {describe(version)} again", error)
        if not release or WEB not in release.runs:
            self.monitor.crashed()
            self.outages.began(WEB, version, "", self.web.last_exit)
            with going_on("cannot tell that nothing is live"):
                await self._traffic.route(None)
        self._keep(release or Release(version))
        if stale and stale is not release:
            await stale.stop(stale.version.config.drain_timeout_s)

    def _can_go_on(self, release: Release) -> bool:
        with going_on(f"cannot tell whether {describe(release.version)} can go on, so it does"):
            return self._launcher.can_adopt(release)
        return True

    def tell(self, words: str) -> None:
        """A warning about the live release, for the attempt that made it live."""
        self._warn_of(self._attempt, words)

    def renew(self, name: str, why: str) -> None:
        """Replaces a run beside the web run."""
        watch = self.watches.get(name)
        if isinstance(watch, SideWatch):
            watch.renew(why)

    async def retry(self, version: Version, why: str) -> None:
        """Starts a version that does not run, after the first delay and until it is healthy."""
        with going_on("cannot tell that nothing is live"):
            await self._traffic.route(None)
        self.web.last_exit = why
        self.monitor.crashed()
        self.outages.began(WEB, version, "", why)
        self._keep(Release(version))

    def _keep(self, release: Release) -> None:
        """Watches each of its runs that is not watched yet."""
        self._replace_release(release)
        for side in side_runs(release.version.config):
            if side.run not in self.watches:
                self.watches[side.run] = self._side_watch(release.version, side)
        for name, watch in self.watches.items():
            if name not in self._watching:
                self._watching[name] = self._tasks.create_task(watch.keep(release))

    def _side_watch(self, version: Version, side: SideRun) -> SideWatch:
        alone = side.process.singleton or version.config.strategy == "replace"
        warn = partial(self._warn_of, self._attempt)
        return SideWatch(side, self._launcher, self.outages, self.retirees, warn, self._notices, alone=alone)

    def _warn_of(self, attempt: int, words: str) -> None:
        with going_on(f"cannot write down that {words}"):
            self.warn(attempt, words)

    def _restarted(self, release: Release) -> None:
        with going_on(f"cannot tell of the restart of {describe(release.version)}"):
            self.on_restart(release.version, self._attempt)

    def _replace_release(self, release: Release) -> None:
        """Side runs of the one before go on if they are of the same version. Else they retire."""
        before, self.release = self.release, release
        if before and before is not release:
            runs = before.take_side_runs()
            if before.version == release.version:
                release.give_side_runs(runs)
            else:
                self.retirees.begin(runs, self._attempt)

    def _retire_side_runs(self, attempt: int = 0, *, quiet: bool = True) -> None:
        if self.release:
            self.retirees.begin(self.release.take_side_runs(), attempt or self._attempt, quiet=quiet)

    async def _unwatch(self, names: Sequence[str]) -> None:
        tasks = [self._watching.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        if tasks:
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError:
                # Else the next start could come before the end of the one that is undone.
                await asyncio.wait(tasks)
                raise
