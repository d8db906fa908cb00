"""Watches a rollout, until each copy is healthy or it is clear that one won't be."""

import time
from collections.abc import Sequence

from slot_machine.core.errors import EngineFailed, StageFailed
from slot_machine.core.phases import Phase
from slot_machine.engines.engine import Steps
from slot_machine.engines.kubernetes import names, reasons, seen
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.reasons import Trouble
from slot_machine.engines.kubernetes.seen import Deployment, Pod

EVERY_S = 1.0
OUT_OF_REACH_S = 60.0
"""So long may the cluster not answer until the rollout has failed for us."""
QUOTA_S = 15.0
LINES = 20
OTHER_ARCHITECTURE = "exec format error"


class Clock:
    """Time as a rollout sees it."""

    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Rollout:
    """Of one release, to the Deployments of these names. `limit_s` may pass until one copy more is healthy."""

    def __init__(
        self, cluster: Cluster, release: int, deployments: Sequence[str], limit_s: float, clock: Clock
    ) -> None:
        self._cluster = cluster
        self._release = str(release)
        self._names = deployments
        self._limit_s = limit_s
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}
        self._told = ""

    def watch(self) -> Steps:
        """Raises StageFailed with the last lines of a copy that failed, EngineFailed."""
        answered_s = self._clock.now_s()
        ends_s, most = answered_s + self._limit_s, 0
        while True:
            try:
                deployments, pods = self._look()
            except EngineFailed:
                if self._clock.now_s() - answered_s > OUT_OF_REACH_S:
                    raise
                self._clock.sleep(EVERY_S)
                continue
            answered_s = self._clock.now_s()
            if (healthy := sum(_healthy(found, pods) for found in deployments)) > most:
                ends_s, most = answered_s + self._limit_s, healthy
            if said := self._progress(deployments, pods):
                yield said
            if self._is_done(deployments, pods):
                return _counted(deployments, pods)
            self._check(deployments, pods, late=answered_s > ends_s)
            self._clock.sleep(EVERY_S)

    def _look(self) -> tuple[list[Deployment], list[Pod]]:
        deployments = self._cluster.listed("deployments", Deployment)
        ours = [found for found in deployments if found.name in self._names]
        of_release = f"{self._cluster.selector},{names.RELEASE}={self._release}"
        processes = {found.process for found in ours}
        pods = [pod for pod in self._cluster.listed("pods", Pod, of_release) if pod.label(names.PROCESS) in processes]
        return ours, pods

    def _is_done(self, deployments: list[Deployment], pods: list[Pod]) -> bool:
        """The Deployments say so, of this release, and so do its pods."""
        return len(deployments) == len(self._names) and all(
            found.complete
            and found.label(names.RELEASE) == self._release
            and _healthy(found, pods) >= found.spec.replicas
            for found in deployments
        )

    def _progress(self, deployments: list[Deployment], pods: list[Pod]) -> str:
        """What changed since the last look; empty for nothing."""
        said = _counted(deployments, pods)
        for pod in pods:
            if (trouble := reasons.of(pod)) and trouble.patience_s:
                said += f"; {pod.name}: {trouble.words}"
                break
        told, self._told = self._told, said
        return said if said != told else ""

    def _check(self, deployments: list[Deployment], pods: list[Pod], *, late: bool) -> None:
        """Raises StageFailed."""
        for found in deployments:
            if found.label(names.RELEASE) != self._release:
                what = f"somebody else applied release {found.label(names.RELEASE)} of {found.name} meanwhile"
                raise StageFailed(Phase.START.stage, what, hint="`slot-machine history` shows who")
        for pod in pods:
            if (trouble := reasons.of(pod)) and self._lasts(pod.name, trouble.words, trouble.patience_s):
                raise self._failed(pod, trouble)
        for found in deployments:
            self._check_conditions(found)
            progressing = found.condition("Progressing")
            exceeded = progressing is not None and progressing.reason == "ProgressDeadlineExceeded"
            if late or (exceeded and found.observed):
                self._give_up(found, pods)

    def _check_conditions(self, found: Deployment) -> None:
        refused = found.condition("ReplicaFailure")
        is_refused = found.observed and refused is not None and refused.status == "True"
        if refused and is_refused and self._lasts(found.name, refused.message, QUOTA_S):
            what = f"the cluster makes no pod of {found.name}: {refused.message}"
            raise StageFailed(Phase.START.stage, what, hint="look at the quotas and policies of the namespace")
        if found.spec.paused:
            hint = f"`kubectl rollout resume deployment/{found.name}` lets it go on"
            raise StageFailed(Phase.START.stage, f"somebody has paused the rollout of {found.name}", hint=hint)

    def _give_up(self, found: Deployment, pods: list[Pod]) -> None:
        for pod in pods:
            if pod.label(names.PROCESS) == found.process and not pod.ready and not pod.ending:
                raise self._failed(pod, reasons.of(pod) or reasons.unready(pod))
        raise StageFailed(Phase.START.stage, f"the rollout of {found.name} made no progress in time")

    def _lasts(self, name: str, what: str, patience_s: float) -> bool:
        now_s = self._clock.now_s()
        return now_s - self._since.setdefault((name, what.partition(":")[0]), now_s) >= patience_s

    def _failed(self, pod: Pod, trouble: Trouble) -> StageFailed:
        """With the last lines of its output, and what its health check said."""
        output = self._cluster.last_lines(pod.name, previous=trouble.previous, lines=LINES)
        words, hint, stage = f"{pod.name}: {trouble.words}", trouble.hint, trouble.stage
        if probe := self._probe(pod):
            words, stage = f"{words} ({probe})", Phase.HEALTH.stage
        if any(OTHER_ARCHITECTURE in text for text in (*output, words)):
            hint = (
                f"the image is not for {pod.spec.node_name}: `slot-machine engine check` lists the nodes' architectures"
            )
        return StageFailed(stage, words, output, hint)

    def _probe(self, pod: Pod) -> str:
        """The last failure of a check of its health; empty if there was none, or the cluster does not say."""
        chosen = f"involvedObject.name={pod.name},reason=Unhealthy"
        try:
            events = self._cluster.everyone("events", seen.Event, "--field-selector", chosen)
        except EngineFailed:
            return ""
        events.sort(key=lambda event: event.last_timestamp)
        return " ".join(events[-1].message.split()) if events else ""


def _healthy(found: Deployment, pods: Sequence[Pod]) -> int:
    """Of the release's copies. The Deployment counts those of the version before, too."""
    return sum(pod.ready for pod in pods if pod.label(names.PROCESS) == found.process)


def _counted(deployments: Sequence[Deployment], pods: Sequence[Pod]) -> str:
    counts = [f"{found.process}: {_healthy(found, pods)} of {found.spec.replicas} healthy" for found in deployments]
    return ", ".join(counts)
