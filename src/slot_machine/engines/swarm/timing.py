"""How long things may take on a swarm, in seconds. Pure."""

import math

from slot_machine.core.engine_config import Swarm, stop_delay_s
from slot_machine.core.version_config import Process
from slot_machine.engines.shape import App

MARGIN_S = 5
"""Between what an app is given and what the engine then does."""
CHECK_EVERY_S = 2
"""A new copy gets no requests before its first check, so the time between two checks is short."""
CHECK_LIMIT_S = 5
CHECKS = 5
"""So many have to fail in a row until a copy is replaced."""
WITHOUT_CHECK_S = 10
"""A worker has no health check. It is watched for so long after its start."""
PULL_LIMIT_S = 300
"""For the nodes to get the image."""
BATCHES = 10
"""A rollout replaces the copies in so many steps at most."""


def settings(app: App) -> Swarm:
    assert isinstance(app.engine, Swarm)
    return app.engine


def alone(app: App) -> bool:
    """Whether two versions must not run at once: the app says so, or both would write to one local volume."""
    return app.version.strategy == "replace" or local_data(app)


def local_data(app: App) -> bool:
    """Whether the app's data is on one node."""
    return bool(app.version.shared_dirs) and not settings(app).nfs


def sharing(app: App) -> int:
    """How many copies of all processes use the folders of `shared_dirs` at once."""
    if not app.version.shared_dirs:
        return 0
    return settings(app).replicas if local_data(app) else sum(app.processes.values())


def stop_delay(app: App) -> float:
    """A version that ends before the next one starts has nobody to leave its requests to."""
    return 0 if alone(app) else stop_delay_s(app.engine)


def start_period(app: App) -> float:
    """Failed checks do not count in this time."""
    return max(1, app.version.health_timeout_s)


def monitor(app: App, process: str) -> int:
    """After a copy has started, its end within this time is a failure of the update.

    It is longer than a copy that never becomes healthy lives. With a shorter one, the engine took such a copy for good.
    """
    if process != "web":
        return WITHOUT_CHECK_S
    return math.floor(start_period(app) + CHECK_EVERY_S * CHECKS + MARGIN_S) + 1


def grace(app: App, worker: Process | None) -> float:
    """From the stop signal to SIGKILL; `worker` is None for the web process."""
    given = worker.stop_timeout_s if worker else stop_delay(app) + app.version.drain_timeout_s
    return given + MARGIN_S


def at_once(copies: int) -> int:
    """How many copies are replaced at once."""
    return max(1, math.ceil(copies / BATCHES))


def rollout_limit(app: App, process: str, copies: int) -> float:
    """Until all copies are replaced, or the engine has given up."""
    steps = math.ceil(copies / at_once(copies)) if copies else 0
    worker = app.version.workers.get(process)
    start = start_period(app) + CHECK_EVERY_S * CHECKS
    return PULL_LIMIT_S + steps * (start + grace(app, worker) + MARGIN_S) + monitor(app, process)
