"""Runs a command in a pod of its own, of the live version's image and with its variables."""

import secrets
from collections.abc import Sequence

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.kubernetes import image_layout, jobs, names, reasons, seen
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.rollout import EVERY_S, Clock
from slot_machine.engines.shape import App

START_S = 300.0


def run(cluster: Cluster, app: App, argv: Sequence[str], clock: Clock, *, terminal: bool) -> int:
    """Its exit code. With our own stdin, stdout and stderr.

    The pod waits for the command, so that nothing that the command prints at first is lost. It is removed afterwards;
    if this computer dies, by the cluster, after `jobs.RUN_LIMIT_S`. Raises EngineFailed.
    """
    job = names.named(app.name, names.RUN, secrets.token_hex(4))
    if not cluster.create(jobs.by_hand(app, job)):
        raise EngineFailed(f"there is a Job {job} already", "try again")
    try:
        pod = _ready(cluster, job, clock)
        options = ["--stdin", *(["--tty"] if terminal else [])]
        return cluster.client.through("exec", *options, "-c", "app", pod, "--", *image_layout.run(app, argv))
    finally:
        cluster.remove("jobs", [job])


def _ready(cluster: Cluster, job: str, clock: Clock) -> str:
    ends_s, since = clock.now_s() + START_S, dict[str, float]()
    while True:
        for pod in cluster.listed("pods", seen.Pod, f"{cluster.selector},job-name={job}"):
            if pod.container.state.running:
                return pod.name
            now_s, trouble = clock.now_s(), reasons.of(pod)
            if trouble and (now_s - since.setdefault(trouble.words, now_s) >= trouble.patience_s or now_s > ends_s):
                raise EngineFailed(f"the command can't start: {trouble.words}", trouble.hint)
        if clock.now_s() > ends_s:
            raise EngineFailed(f"no pod of {job} was ready within {START_S:g} s", "look at `kubectl get pods`")
        clock.sleep(EVERY_S)
