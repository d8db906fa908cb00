"""A release: a version that runs, with all its runs."""

from collections.abc import Iterable

from slot_machine.app.failures import going_on
from slot_machine.app.run import Run
from slot_machine.core.model import WEB, Version, short
from slot_machine.core.upstream import Upstream


class Release:
    """`runs` are by name: the web run, and side runs such as workers.

    One that has ended stays there until it is started again; one that never began is missing. What visitors get is up
    to the web run: the release is `running` while that runs.
    """

    def __init__(self, version: Version, *runs: Run) -> None:
        self.version = version
        self.runs = {run.name: run for run in runs}

    @property
    def release_id(self) -> int:
        """0 before its first run."""
        return next((run.release_id for run in self.runs.values()), 0)

    @property
    def web(self) -> Run:
        """Raises KeyError for a release that never had it, or whose web run was gone when a daemon took it over."""
        return self.runs[WEB]

    @property
    def upstream(self) -> Upstream | None:
        return self.web.upstream if WEB in self.runs else None

    @property
    def running(self) -> bool:
        return WEB in self.runs and self.web.running

    @property
    def survivors(self) -> list[str]:
        """Processes that could not be ended."""
        return [survivor for run in self.runs.values() for survivor in run.session.survivors]

    def members(self) -> list[int]:
        """The ids of all its processes."""
        return [pid for run in self.runs.values() for pid in run.session.members()]

    async def stop(self, grace_s: float) -> bool:
        """Ends the web run, as `Run.stop` does. Returns whether that took a SIGKILL. Side runs end by `Retirees`."""
        return WEB in self.runs and await self.web.stop(grace_s)

    def take_side_runs(self) -> list[Run]:
        """They are no part of the release any more."""
        return [self.runs.pop(name) for name in list(self.runs) if name != WEB]

    def give_side_runs(self, runs: Iterable[Run]) -> None:
        """Those of an earlier release of the same version go on in this one."""
        for run in runs:
            run.release_id = self.release_id or run.release_id
            self.runs[run.name] = run
            with going_on(f"cannot write down what {run} belongs to"):
                run.save()


def releases_of(runs: Iterable[Run]) -> list[Release]:
    """The releases that the runs belong to, in the order of their first ones.

    A second run of the same name is what was left of an earlier start; it counts as a release of its own.
    """
    releases: list[Release] = []
    for run in runs:
        its = (release for release in releases if release.release_id == run.release_id and run.name not in release.runs)
        if release := next(its, None):
            release.runs[run.name] = run
        else:
            releases.append(Release(run.version, run))
    return releases


def describe(version: Version) -> str:
    return f"{short(version.commit)} in slot {version.slot}"
