"""The stack file of an app: what `docker stack deploy` takes, and what `export swarm` writes. Pure."""

from slot_machine.core.version_config import Process
from slot_machine.engines.image.layout import ENV_FILE, SHARED, STOP_DELAY, STOP_SIGNAL, health
from slot_machine.engines.image.layout import worker as run_worker
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import labels, names, timing
from slot_machine.engines.swarm.names import WEB

Json = dict[str, object]

FORMAT = "3.8"
"""Of the file. All clients from 20.10 on read it."""
MEGABYTE = 1_000_000
YES = "yes"
"""The value of a node's label."""
OWN_NETWORK = "default"
EDGE_NETWORK = "edge"
ENV_SECRET = "env"
ENV_PATH = "/run/secrets/slot-machine-env"
SHARED_VOLUME = "shared"
SHELL = ("/bin/sh", "-c")
"""Runs a command of the configuration in an image of the user's own, which has no shim."""


def stack(app: App, *, maintenance: bool = False) -> Json:
    """Raises Impossible."""
    services: Json = {WEB: _web(app, maintenance=maintenance)}
    services |= {name: _worker(app, name, worker) for name, worker in app.version.workers.items()}
    made: Json = {
        "version": FORMAT,
        "services": services,
        "networks": {
            OWN_NETWORK: {"driver": "overlay"},
            EDGE_NETWORK: {"external": True, "name": labels.NETWORK},
        },
    }
    if app.env_digest:
        made["secrets"] = {ENV_SECRET: {"external": True, "name": names.secret(app.name, app.env_digest)}}
    if app.version.shared_dirs:
        made["volumes"] = {SHARED_VOLUME: _volume(app)}
    return made


def only(of: Json, *services: str) -> Json:
    """The same file with these services alone."""
    every = of["services"]
    assert isinstance(every, dict)
    return of | {"services": {name: every[name] for name in services}}


def _web(app: App, *, maintenance: bool) -> Json:
    daemon, version = app.daemon, app.version
    ports = {"PORT": str(daemon.port), "INTERNAL_PORT": str(daemon.internal_port)}
    delay = {STOP_DELAY: str(round(timing.stop_delay(app) * 1000))}
    made = _service(app, WEB, ports | delay, None)
    made["networks"] = [OWN_NETWORK, EDGE_NETWORK]
    check = {
        "interval": _time(timing.CHECK_EVERY_S),
        "timeout": _time(timing.CHECK_LIMIT_S),
        "retries": timing.CHECKS,
        "start_period": _time(timing.start_period(app)),
    }
    # An image of the user's own has its own check, if any.
    made["healthcheck"] = check if app.own_dockerfile else {"test": ["CMD", *health(version)]} | check
    made["deploy"] = _deploy(app, WEB, version.strategy == "replace", daemon.memory_max_mb) | {
        "labels": service_labels(app, maintenance=maintenance)
    }
    return made


def service_labels(app: App, *, maintenance: bool) -> dict[str, str]:
    """Of the web service itself. A change of them replaces no copy. Raises Impossible."""
    own = names.labels(app, WEB) | ({names.MAINTENANCE: "on"} if maintenance else {})
    return own | labels.labels(app, maintenance)


def _worker(app: App, name: str, worker: Process) -> Json:
    variables = {"PROCESS": name, "PROCESS_INDEX": "{{.Task.Slot}}"}
    if worker.stop_signal != "TERM" and not app.own_dockerfile:
        variables[STOP_SIGNAL] = worker.stop_signal
    made = _service(app, name, variables, worker)
    if app.own_dockerfile:
        made |= {"entrypoint": [*SHELL], "command": [worker.command], "stop_signal": f"SIG{worker.stop_signal}"}
    else:
        made |= {"command": list(run_worker(worker)), "stop_signal": "SIGTERM"}
    made["networks"] = [OWN_NETWORK]
    # An image may have a check of its own, which is for the web process.
    made["healthcheck"] = {"disable": True}
    made["deploy"] = _deploy(app, name, worker.singleton, worker.memory_max_mb)
    return made


def _service(app: App, process: str, variables: dict[str, str], worker: Process | None) -> Json:
    made: Json = {
        "image": app.image,
        "environment": common_variables(app) | variables,
        "labels": names.labels(app, process),
        "stop_grace_period": _time(timing.grace(app, worker)),
        "logging": {"driver": "json-file", "options": _log(app)},
    }
    if app.env_digest:
        made["secrets"] = [{"source": ENV_SECRET, "target": ENV_PATH.rpartition("/")[2]}]
    if app.version.shared_dirs:
        made["volumes"] = [{"type": "volume", "source": SHARED_VOLUME, "target": SHARED}]
    return made


def common_variables(app: App) -> dict[str, str]:
    made = {"SLOT_MACHINE": "1", "SLOT_MACHINE_COMMIT": app.commit}
    if app.env_digest:
        made[ENV_FILE] = ENV_PATH
    if app.version.shared_dirs:
        made["SLOT_MACHINE_SHARED"] = SHARED
    return made


def _deploy(app: App, process: str, by_turns: bool, memory_max_mb: int) -> Json:
    """`by_turns`: the old copy ends before the new one starts."""
    copies = app.processes[process]
    by_turns = by_turns or timing.alone(app)
    update: Json = {
        "parallelism": timing.at_once(copies),
        "order": "stop-first" if by_turns else "start-first",
        "delay": "0s",
        "monitor": _time(timing.monitor(app, process)),
        "max_failure_ratio": 0,
    }
    made: Json = {
        "replicas": copies,
        "endpoint_mode": "dnsrr",
        "labels": names.labels(app, process),
        "update_config": update | {"failure_action": "rollback"},
        "rollback_config": update | {"failure_action": "pause"},
        "restart_policy": {"condition": "any", "delay": "1s"},
    }
    if memory_max_mb:
        made["resources"] = {"limits": {"memory": f"{memory_max_mb * MEGABYTE}b"}}
    if wanted := constraints(app):
        made["placement"] = {"constraints": wanted}
    return made


def constraints(app: App) -> list[str]:
    """Which nodes may run it. Pulling is left to the engine where there is a registry."""
    needed = []
    if not timing.settings(app).registry:
        needed.append(names.image_label(app.name, app.commit))
    if timing.local_data(app):
        needed.append(names.data_label(app.name))
    return [f"node.labels.{label}=={YES}" for label in needed]


def _volume(app: App) -> Json:
    made: Json = {"name": names.volume(app.name)}
    if nfs := timing.settings(app).nfs:
        made["driver_opts"] = nfs_options(nfs)
    return made


def nfs_options(nfs: str) -> dict[str, str]:
    """Of Docker's own volume driver. `nfs` is `SERVER:/PATH`."""
    server, _, path = nfs.partition(":")
    return {"type": "nfs", "o": f"addr={server},rw,nfsvers=4", "device": f":{path}"}


def _log(app: App) -> dict[str, str]:
    daemon = app.daemon
    return {"max-size": f"{daemon.log_max_mb}m", "max-file": str(daemon.log_keep)} if daemon.log_max_mb else {}


def _time(seconds: float) -> str:
    """As Go reads it."""
    return f"{seconds:g}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"
