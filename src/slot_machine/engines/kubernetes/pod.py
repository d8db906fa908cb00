"""The pod of a process: its container, how it is checked, how it ends, and what it may do."""

import math
from collections.abc import Mapping

from slot_machine.core.engine_config import Kubernetes, stop_delay_s
from slot_machine.engines.image.layout import SHARED, USER
from slot_machine.engines.kubernetes import names
from slot_machine.engines.kubernetes.image_layout import health, unexpanded
from slot_machine.engines.shape import App

Json = dict[str, object]

PORT = "web"
HEALTH_PORT = "health"
MARGIN_S = 5
"""Between the time that an app has to end and SIGKILL."""
PROBE_TIMEOUT_S = 5
READY_EVERY_S = 5
READY_FAILURES = 2
LIVE_FAILURES = 6
"""More than READY_FAILURES: a copy gets no requests for a while before it is started again."""
HTTP_GET = range(200, 400)
"""What a node takes as healthy (kubelet)."""


def settings(app: App) -> Kubernetes:
    assert isinstance(app.engine, Kubernetes)
    return app.engine


def template(app: App, process: str, container: Json, *, grace_s: int, restart: str = "Always") -> Json:
    """Of a Deployment or a Job."""
    engine = settings(app)
    spec: Json = {
        "automountServiceAccountToken": False,
        "containers": [container],
        # A Service named like the app would set NAME_PORT to an address.
        "enableServiceLinks": False,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "restartPolicy": restart,
        "securityContext": _security(app),
        "terminationGracePeriodSeconds": grace_s,
    }
    if engine.pull_secret:
        spec["imagePullSecrets"] = [{"name": engine.pull_secret}]
    if app.version.shared_dirs:
        claim = {"claimName": names.volume_claim(app)}
        spec["volumes"] = [{"name": "shared", "persistentVolumeClaim": claim}]
        if not engine.storage_class:
            spec["affinity"] = _together(app)
    if restart == "Always":
        spec["topologySpreadConstraints"] = [_spread(app, process)]
    annotations = {names.ENV_DIGEST: app.env_digest} if app.env_digest else {}
    metadata: Json = {"labels": names.labels(app, process)}
    return {"metadata": metadata | ({"annotations": annotations} if annotations else {}), "spec": spec}


def container(
    app: App, process: str, *, memory_max_mb: int, cpu_weight: int, variables: Mapping[str, str] | None = None
) -> Json:
    """Without a command: the image has that of the web process."""
    found = _variables(app, process) | dict(variables or {})
    made: Json = {
        "env": [{"name": name, "value": value} for name, value in sorted(found.items())],
        "image": app.image,
        "imagePullPolicy": "IfNotPresent",
        "name": "app",
        "resources": _resources(memory_max_mb, cpu_weight),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if app.env_digest:
        made["envFrom"] = [{"secretRef": {"name": names.env_secret(app.name, app.env_digest)}}]
    if app.version.shared_dirs:
        made["volumeMounts"] = [{"mountPath": SHARED, "name": "shared"}]
    return made


def web(app: App, *, native_sleep: bool) -> Json:
    """The container of the web process, with its ports and checks."""
    version, daemon = app.version, app.daemon
    made = container(app, names.WEB, memory_max_mb=daemon.memory_max_mb, cpu_weight=daemon.cpu_weight)
    ports: list[Json] = [{"containerPort": daemon.port, "name": PORT, "protocol": "TCP"}]
    if daemon.internal_port != daemon.port:
        ports.append({"containerPort": daemon.internal_port, "name": HEALTH_PORT, "protocol": "TCP"})
    made["ports"] = ports
    made["startupProbe"] = _first_check(app) | {
        "failureThreshold": math.ceil(version.health_timeout_s),
        "periodSeconds": 1,
        "timeoutSeconds": PROBE_TIMEOUT_S,
    }
    steady = _check(app) | {"periodSeconds": _interval_s(app), "timeoutSeconds": PROBE_TIMEOUT_S}
    made["readinessProbe"] = steady | {"failureThreshold": READY_FAILURES}
    if daemon.restart_when_unhealthy:
        made["livenessProbe"] = steady | {"failureThreshold": LIVE_FAILURES}
    if sleep := before_stop(app, native=native_sleep):
        made["lifecycle"] = {"preStop": sleep}
    return made


def before_stop(app: App, *, native: bool) -> Json:
    """A pod that ends gets new requests until all nodes and proxies know of it; so it goes on for that time.

    `native` is for servers from 1.30 on. Before, the image has to have `sleep`; a shell is not needed.
    """
    seconds = stop_delay(app)
    if not seconds:
        return {}
    return {"sleep": {"seconds": seconds}} if native else {"exec": {"command": ["sleep", str(seconds)]}}


def stop_delay(app: App) -> int:
    """In seconds. A version that ends before the next one starts has nobody to hand its requests to."""
    return 0 if alone(app) else math.ceil(stop_delay_s(app.engine))


def web_grace_s(app: App) -> int:
    """Kubernetes counts the time before SIGTERM, too."""
    return stop_delay(app) + math.ceil(app.version.drain_timeout_s) + MARGIN_S


def alone(app: App) -> bool:
    """Whether two versions must not run at once: the app says so, or one node has the volume."""
    return app.version.strategy == "replace" or bool(app.version.shared_dirs and not settings(app).storage_class)


def a_node_can_check(app: App) -> bool:
    statuses = app.version.healthy_statuses
    return statuses[0] in HTTP_GET and statuses[-1] in HTTP_GET


def _first_check(app: App) -> Json:
    """As on one machine: a node takes any status from 200 to 399 as healthy, and does not say what it got instead."""
    return _check(app) if app.own_dockerfile else {"exec": {"command": unexpanded(health(app))}}


def _check(app: App) -> Json:
    """By the node, which costs less, where it can see the difference. Apps that insist on HTTPS take it as such."""
    version, daemon = app.version, app.daemon
    if not a_node_can_check(app):
        return {"exec": {"command": unexpanded(health(app))}}
    fields = [{"name": "X-Forwarded-Proto", "value": "https"}]
    if version.health_host:
        fields.append({"name": "Host", "value": version.health_host})
    port = PORT if daemon.internal_port == daemon.port else HEALTH_PORT
    return {"httpGet": {"httpHeaders": fields, "path": version.health_endpoint, "port": port, "scheme": "HTTP"}}


def _interval_s(app: App) -> int:
    return max(1, round(app.daemon.health_interval_s)) if app.daemon.health_interval_ms else READY_EVERY_S


def _variables(app: App, process: str) -> dict[str, str]:
    found = {"SLOT_MACHINE_COMMIT": app.commit}
    if app.version.shared_dirs:
        found["SLOT_MACHINE_SHARED"] = SHARED
    if process == names.WEB:
        found |= {"PORT": str(app.daemon.port), "INTERNAL_PORT": str(app.daemon.internal_port)}
    elif worker := app.version.workers.get(process):
        found["PROCESS"] = process
        if worker.count == 1:
            found["PROCESS_INDEX"] = "1"
    return found


def _resources(memory_max_mb: int, cpu_weight: int) -> Json:
    """A request for CPU is a share of it when it is busy: 100 as on one machine are a tenth of a CPU."""
    cpu = f"{cpu_weight}m"
    if not memory_max_mb:
        return {"requests": {"cpu": cpu}}
    memory = f"{memory_max_mb}M"
    return {"limits": {"memory": memory}, "requests": {"cpu": cpu, "memory": memory}}


def _security(app: App) -> Json:
    made: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if app.version.shared_dirs:
        made |= {"fsGroup": USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return made


def _together(app: App) -> Json:
    """One node alone has the volume, so all pods of the app have to be there."""
    term = {"labelSelector": {"matchLabels": {names.APP: app.name}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _spread(app: App, process: str) -> Json:
    version = names.selector(app, process) | {names.RELEASE: str(app.release)}
    return {
        "labelSelector": {"matchLabels": version},
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
    }
