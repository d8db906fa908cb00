"""Runs the release command as a Job, and shows its output."""

from collections.abc import Generator

from slot_machine.core.errors import EngineFailed, StageFailed
from slot_machine.core.phases import HALF_MIGRATED, Phase
from slot_machine.engines.engine import Steps
from slot_machine.engines.kubernetes import jobs, names, reasons, seen
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.rollout import EVERY_S, LINES, OUT_OF_REACH_S, Clock
from slot_machine.engines.shape import App

SPARE_S = 300.0
"""For a node to be found and to pull the image, beside the command's own time limit."""


class ReleaseJob:
    def __init__(self, cluster: Cluster, app: App, clock: Clock) -> None:
        self._cluster = cluster
        self._app = app
        self._clock = clock
        self._name = names.release_job(app)
        self._lines: list[str] = []

    def run(self) -> Steps:
        """Raises StageFailed. If nobody reads on, the command is ended.

        A Job that failed stays until the next release is tidied up: `kubectl describe job` tells more of it.
        """
        if not self._cluster.create(jobs.release(self._app)):
            raise StageFailed(Phase.RELEASE.stage, f"there is a Job {self._name} already", hint="deploy once more")
        over = False
        try:
            pod = yield from self._started()
            ended = yield from self._followed(pod)
            over = True
        except StageFailed:
            over = True
            raise
        finally:
            if not over:
                self._cluster.remove("jobs", [self._name])
        if ended == "Complete":
            self._cluster.remove("jobs", [self._name])
            return "done"
        raise self._failed(pod)

    def _started(self) -> Generator[str, None, str]:
        """The pod's name, when its container runs or has ended."""
        ends_s, since_s, told = self._clock.now_s() + SPARE_S, self._clock.now_s(), ""
        while True:
            ended, pod = self._ended(), self._pod()
            trouble = reasons.of(pod) if pod else None
            if pod and (
                ended or pod.status.phase in ("Running", "Succeeded", "Failed") or pod.container.state.terminated
            ):
                return pod.name
            if ended:
                raise self._given_up("no pod could be made", "")
            if trouble and trouble.words != told:
                since_s, told = self._clock.now_s(), trouble.words
                yield told
            now_s = self._clock.now_s()
            if trouble and now_s - since_s >= trouble.patience_s:
                raise self._given_up(trouble.words, trouble.hint)
            if now_s > ends_s:
                raise self._given_up(told or "no pod was made in time", trouble.hint if trouble else "")
            self._clock.sleep(EVERY_S)

    def _followed(self, pod: str) -> Generator[str, None, str]:
        """How the Job ended. An output that breaks off is read again from its beginning, without what was shown."""
        ends_s = self._clock.now_s() + self._app.version.release_timeout_s + SPARE_S
        while True:
            for number, line in enumerate(self._cluster.output(pod)):
                if number >= len(self._lines):
                    self._lines.append(line)
                    yield line
            for _ in range(int(OUT_OF_REACH_S)):
                if ended := self._ended():
                    return ended
                found = self._pod()
                if found and found.status.phase == "Running" and found.container.state.running:
                    break
                self._clock.sleep(EVERY_S)
            if self._clock.now_s() > ends_s:
                return "Failed"
            self._clock.sleep(EVERY_S)

    def _pod(self) -> seen.Pod | None:
        chosen = f"{self._cluster.selector},job-name={self._name}"
        return next(iter(self._cluster.listed("pods", seen.Pod, chosen)), None)

    def _ended(self) -> str:
        try:
            job = self._cluster.one("job", self._name, seen.Job)
        except EngineFailed:
            return ""
        return job.ended if job else "Failed"

    def _given_up(self, words: str, hint: str) -> StageFailed:
        self._cluster.remove("jobs", [self._name])
        return StageFailed(Phase.RELEASE.stage, f"the release command did not start: {words}", hint=hint)

    def _failed(self, name: str) -> StageFailed:
        pod = self._pod()
        ended = pod.container.state.terminated if pod else None
        if ended and ended.reason == "OOMKilled":
            how = "was killed: it took more memory than its limit (memory_max_mb)"
        elif ended:
            how = f"exited with code {ended.exit_code}"
        else:
            how = f"did not end well: its pod {name} is gone, or its time was over"
        what = f"the release command {how}; {HALF_MIGRATED}"
        return StageFailed(Phase.RELEASE.stage, what, tuple(self._lines[-LINES:]))
