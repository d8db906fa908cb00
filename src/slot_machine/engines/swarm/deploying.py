"""Brings a release's stack file to the swarm, and waits until the swarm runs it.

The web service comes first, and the workers when it has been taken for good: a version that does not become healthy
never touches a queue.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from slot_machine.core.errors import EngineFailed, StageFailed
from slot_machine.core.phases import Phase
from slot_machine.engines.engine import Steps
from slot_machine.engines.release import Release
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import names, rollout, timing
from slot_machine.engines.swarm.answers import Task
from slot_machine.engines.swarm.docker import Docker
from slot_machine.engines.swarm.names import WEB
from slot_machine.engines.swarm.rollout import Seen, State, Verdict
from slot_machine.engines.swarm.stack import Json, only, service_labels
from slot_machine.engines.swarm.stack_file import parsed, text

POLL_S = 0.5
STEADY_S = 5.0
"""Where there is no update that the engine watches, such as at the first deploy, all has to be well for so long."""
REPAIR_AFTER_S = 15.0
"""An engine that has finished may still end tasks. If the count is wrong for so long, it stays wrong."""
AWAY_LIMIT_S = 30.0
LAST_LINES = 20
DEPLOY_LIMIT_S = 120.0


class Deploying:
    """`pause` waits for some seconds, `clock` counts them."""

    def __init__(
        self,
        docker: Docker,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._docker = docker
        self._pause = pause
        self._clock = clock
        self._before: frozenset[str] = frozenset()
        self._nodes: dict[str, str] = {}

    def begin(self, release: Release) -> None:
        """Hands over the web service. Old workers end first if two versions must not run at once."""
        seen = self.seen(release.app.name)
        self._before = frozenset(task.id for task in seen.tasks)
        workers = [one for one in seen.services if not one.is_job and one.process != WEB]
        if release.app.version.strategy == "replace" and workers:
            self._stop([names.service(release.app.name, one.process) for one in workers], release.app)
        self._deploy(release, WEB)

    def wait(self, release: Release) -> Steps:
        """Raises StageFailed."""
        app = release.app
        yield from self._until_done(release, [WEB])
        if workers := list(app.version.workers):
            self._deploy(release, *workers)
            yield from self._until_done(release, [WEB, *workers])
        count = sum(app.processes.values())
        return f"{count} {'copy runs' if count == 1 else 'copies run'} it"

    def seen(self, app: str) -> Seen:
        services = self._docker.services(app)
        tasks = self._docker.tasks(services)
        if not {task.node_id for task in tasks} <= {"", *self._nodes}:
            self._nodes = {node.id: node.name for node in self._docker.nodes()}
        return Seen(services, tasks, self._nodes)

    def _seen_again(self, app: str) -> Seen:
        """A manager may be away for a moment, as when another one becomes the leader. Raises EngineFailed."""
        began_s = self._clock()
        while True:
            try:
                return self.seen(app)
            except EngineFailed:
                if self._clock() - began_s >= AWAY_LIMIT_S:
                    raise
            self._pause(POLL_S)

    def _deploy(self, release: Release, *processes: str) -> None:
        app = release.app
        stack = only(parsed(release.manifest), *processes)
        if WEB in processes and self._maintained(app):
            _maintain(stack, app)
        words = ["--resolve-image", "never"]
        words += ["--with-registry-auth"] if timing.settings(app).registry else []
        words += ["--detach=true"] if "--detach" in self._docker.client.run("stack", "deploy", "--help") else []
        self._docker.change(
            "stack", "deploy", *words, "--compose-file", "-", app.name, given=text(stack), limit_s=DEPLOY_LIMIT_S
        )

    def _maintained(self, app: App) -> bool:
        return any(one.spec.label(names.MAINTENANCE) for one in self._docker.services(app.name) if one.process == WEB)

    def _stop(self, services: Sequence[str], app: App) -> None:
        self._docker.change("service", "scale", "--detach", *(f"{name}=0" for name in services))
        limit_s = self._clock() + max((timing.grace(app, one) for one in app.version.workers.values()), default=60.0)
        while self._clock() < limit_s:
            seen = self.seen(app.name)
            ids = {one.id for one in seen.services if one.spec.name in services}
            if not any(task.service_id in ids and task.status.state == "running" for task in seen.tasks):
                return
            self._pause(POLL_S)

    def _until_done(self, release: Release, processes: Sequence[str]) -> Steps:
        app = release.app
        limit_s = max(timing.rollout_limit(app, name, app.processes[name]) for name in processes)
        began_s = self._clock()
        well_since_s = wrong_since_s = None
        repaired = False
        told: dict[str, str] = {}
        while True:
            seen = self._seen_again(app.name)
            verdicts = self._judged(seen, release, processes)
            for name, verdict in verdicts.items():
                if told.get(name) != verdict.told:
                    told[name] = verdict.told
                    yield verdict.told
            now_s = self._clock()
            states = {verdict.state for verdict in verdicts.values()}
            if states == {State.DONE}:
                well_since_s = well_since_s or now_s
                watched = all(one.state for one in seen.services if one.process in processes and not one.is_job)
                if watched or now_s - well_since_s >= STEADY_S:
                    return ""
            else:
                well_since_s = None
            wrong_since_s = (wrong_since_s or now_s) if State.MISCOUNTED in states else None
            if wrong_since_s and not repaired and now_s - wrong_since_s >= REPAIR_AFTER_S:
                repaired = True
                yield from self._repair(app, verdicts)
            if now_s - began_s >= limit_s:
                left = {name: one for name, one in verdicts.items() if one.state is not State.DONE}
                raise self._failed(app, left, limit_s)
            self._pause(POLL_S)

    def _judged(self, seen: Seen, release: Release, processes: Sequence[str]) -> dict[str, Verdict]:
        """Raises StageFailed as soon as one of them has failed."""
        app = release.app
        verdicts = {
            name: rollout.judged(seen, name, release.target, app.processes[name], self._before) for name in processes
        }
        if failed := {name: verdict for name, verdict in verdicts.items() if verdict.state is State.FAILED}:
            raise self._failed(app, failed)
        return verdicts

    def _repair(self, app: App, verdicts: dict[str, Verdict]) -> Steps:
        """Setting the count anew makes the engine count (https://github.com/moby/swarmkit/issues/2242)."""
        wrong = [name for name, verdict in verdicts.items() if verdict.state is State.MISCOUNTED]
        for name in wrong:
            yield f"{name}: the engine has miscounted, so it is told the count again"
        counts = (f"{names.service(app.name, name)}={app.processes[name]}" for name in wrong)
        self._docker.change("service", "scale", "--detach", *counts)
        return ""

    def _failed(self, app: App, verdicts: Mapping[str, Verdict], limit_s: float = 0) -> StageFailed:
        """`limit_s` is the time limit, if that has passed."""
        what = "; ".join(verdict.told for verdict in verdicts.values())
        tasks = [task for verdict in verdicts.values() for task in verdict.tasks]
        if limit_s:
            what = f"not done within {limit_s:g} s: {what}"
        return StageFailed(
            Phase.HEALTH.stage, what, self._lines(tasks), rollout.hint(tasks) or self._hint(app, *verdicts)
        )

    def _hint(self, app: App, *processes: str) -> str:
        services = [names.service(app.name, process) for process in processes]
        shown = self._docker.client.shown("service", "ps", "--no-trunc", *services)
        return f"`{shown}` shows more"

    def _lines(self, tasks: Sequence[Task]) -> tuple[str, ...]:
        """The last ones of the latest of these tasks."""
        if not tasks:
            return ()
        latest = max(tasks, key=lambda task: task.status.timestamp)
        try:
            answer = self._docker.client.attempt("service", "logs", "--raw", "--tail", str(LAST_LINES), latest.id)
        except EngineFailed:
            return ()
        return tuple((answer.out + answer.err).splitlines()[-LAST_LINES:]) if not answer.code else ()


def _maintain(stack: Json, app: App) -> None:
    services = stack["services"]
    assert isinstance(services, dict)
    deploy = services[WEB]["deploy"]
    deploy["labels"] = service_labels(app, maintenance=True)
