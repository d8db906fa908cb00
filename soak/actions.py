"""What a step does and what disturbs it, each with its weight."""

from soak import trouble
from soak.project import Fault

ACTIONS = {
    "deploy": 8,
    "deploy that daemonises": 3,
    "deploy that fails in setup": 2,
    "deploy that fails in release": 2,
    "deploy that fails at boot": 2,
    "deploy that fails its health check": 1,
    "deploy that hangs in setup": 1,
    "deploy that is cancelled": 2,
    "deploy that fills the disk": 2,
    "deploy with a bad env file": 2,
    "deploy beside a neighbour": 2,
    "rollback": 5,
    "rollback on a full disk": 2,
    "restart": 4,
    "reload": 5,
    "nothing": 2,
}
if not trouble.IS_ROOT:
    for name in ("deploy that fills the disk", "rollback on a full disk", "deploy beside a neighbour"):
        del ACTIONS[name]
FAULTS: dict[str, Fault] = {
    "deploy that fails in setup": "setup",
    "deploy that fails in release": "release",
    "deploy that fails at boot": "boot",
    "deploy that fails its health check": "health",
    "deploy that hangs in setup": "hang",
    "deploy that is cancelled": "cancel",
    "deploy that fills the disk": "disk",
    "deploy with a bad env file": "env",
    "deploy beside a neighbour": "neighbour",
}
DISTURBANCES = {
    "none": 8,
    "daemon": 5,
    "worker": 3,
    "app": 2,
    "daemon and worker": 1,
    "daemon and app": 1,
    "process": 2,
    "daemon and process": 1,
    "SIGHUP": 2,
}
