"""The Jobs: of the release command, of one command by hand, and those of `cron` at their times."""

import math

from slot_machine.core.version_config import Job
from slot_machine.engines.kubernetes import image_layout, names, pod
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.kubernetes.schedules import of_cron_job
from slot_machine.engines.shape import App

GRACE_S = 10
"""From SIGTERM to SIGKILL at a time limit, as on one machine."""
STARTING_DEADLINE_S = 200
"""How late a run may begin. Without it, a CronJob that missed 100 times would never run again.

The controller looks every 10 s, and skips runs with a deadline that is about as short (kubernetes/kubernetes#86647).
"""
JOB = "SLOT_MACHINE_JOB"
UTC = "Etc/UTC"
KEPT = 3
"""Runs of each job, with their pods and logs: of those that succeeded, and of those that failed."""
RUN_LIMIT_S = 86_400
RUN_KEPT_S = 60


def release(app: App) -> Json:
    """Runs once: no pod takes the place of one that failed, or that its node has lost."""
    spec = _once(app, names.RELEASING, app.version.release_command or "", app.version.release_timeout_s)
    gone = {"action": "FailJob", "onPodConditions": [{"status": "True", "type": "DisruptionTarget"}]}
    spec["podFailurePolicy"] = {"rules": [gone]}
    return _job(app, names.RELEASING, names.release_job(app), spec)


def by_hand(app: App, name: str) -> Json:
    """A pod that waits for a command, of the app's image and with its variables."""
    spec = _once(app, names.RUN, f"exec sleep {RUN_LIMIT_S}", RUN_LIMIT_S)
    spec["ttlSecondsAfterFinished"] = RUN_KEPT_S
    return _job(app, names.RUN, name, spec)


def cron(app: App, name: str, job: Job) -> Json:
    labels = names.labels(app, names.CRON)
    template = {
        "metadata": {"labels": labels},
        "spec": _once(app, names.CRON, job.command, job.timeout_s, name),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"labels": labels, "name": names.cron_job(app, name)},
        "spec": {
            "concurrencyPolicy": "Forbid",
            "failedJobsHistoryLimit": KEPT,
            "jobTemplate": template,
            "schedule": of_cron_job(job.schedule),
            "startingDeadlineSeconds": STARTING_DEADLINE_S,
            "successfulJobsHistoryLimit": KEPT,
            "timeZone": app.daemon.cron_timezone or UTC,
        },
    }


def _once(app: App, process: str, words: str, limit_s: float, job: str = "") -> Json:
    limits = app.daemon
    container = pod.container(
        app,
        process,
        memory_max_mb=limits.memory_max_mb,
        cpu_weight=limits.cpu_weight,
        variables={JOB: job} if job else {},
    )
    container["command"] = image_layout.unexpanded(image_layout.run(app, [words]))
    return {
        "activeDeadlineSeconds": math.ceil(limit_s),
        "backoffLimit": 0,
        "template": pod.template(app, process, container, grace_s=GRACE_S, restart="Never"),
    }


def _job(app: App, process: str, name: str, spec: Json) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"labels": names.labels(app, process), "name": name},
        "spec": spec,
    }
