"""The Deployments: of the web process and of each worker. The budget that node drains keep to."""

import math

from slot_machine.core.version_config import Process
from slot_machine.engines.image import layout
from slot_machine.engines.kubernetes import image_layout, names, pod
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.shape import App

PULL_S = 300
"""For a node to be found and to pull the image, beside the time that the app has to become healthy."""
WORKER_STEADY_S = 5
"""A worker has no health check: it counts as healthy once it has run for so long."""


def web(app: App, *, native_sleep: bool) -> Json:
    spec = _spec(app, names.WEB, pod.settings(app).replicas, alone=pod.alone(app))
    spec["progressDeadlineSeconds"] = PULL_S + math.ceil(app.version.health_timeout_s)
    container = pod.web(app, native_sleep=native_sleep)
    spec["template"] = pod.template(app, names.WEB, container, grace_s=pod.web_grace_s(app))
    return _deployment(app, names.WEB, spec)


def worker(app: App, name: str, process: Process) -> Json:
    spec = _spec(app, name, process.count, alone=process.singleton or pod.alone(app))
    spec["minReadySeconds"] = WORKER_STEADY_S
    spec["progressDeadlineSeconds"] = PULL_S + WORKER_STEADY_S
    signal = {layout.STOP_SIGNAL: process.stop_signal} if process.stop_signal != "TERM" else {}
    container = pod.container(
        app, name, memory_max_mb=process.memory_max_mb, cpu_weight=process.cpu_weight, variables=signal
    )
    container["command"] = image_layout.unexpanded(image_layout.worker(app, process))
    grace_s = math.ceil(process.stop_timeout_s) + pod.MARGIN_S
    spec["template"] = pod.template(app, name, container, grace_s=grace_s)
    return _deployment(app, name, spec)


def budget(app: App) -> Json:
    """One copy at a time may be taken from a node. A budget that allows none would block the drain of a node."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"labels": names.common(app.name, names.WEB), "name": app.name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": names.selector(app, names.WEB)}},
    }


def _spec(app: App, process: str, replicas: int, *, alone: bool) -> Json:
    surge: Json = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}, "type": "RollingUpdate"}
    return {
        "replicas": replicas,
        "revisionHistoryLimit": 2,
        "selector": {"matchLabels": names.selector(app, process)},
        "strategy": {"type": "Recreate"} if alone else surge,
    }


def _deployment(app: App, process: str, spec: Json) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"labels": names.labels(app, process), "name": names.deployment(app, process)},
        "spec": spec,
    }
