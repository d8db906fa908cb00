"""Where things are in an image of ours, whatever it is built on, and how its shim is told what to do. Pure."""

ROOT = "/app"
"""The commit's files."""
SHARED = "/var/lib/slot-machine/shared"
"""Where the volume for `shared_dirs` goes. The image has links to it."""
SHIM = "/slot-machine/shim.sh"
ENV_FILE = "SLOT_MACHINE_ENV_FILE"
"""The variable with the path of the file that has the variables of `env_file`."""
STOP_DELAY = "SLOT_MACHINE_STOP_DELAY_MS"
"""The variable that says how long the shim keeps the stop signal from the app."""


def command(words: str) -> list[str]:
    """What runs a command of the configuration in the app's folder."""
    return [SHIM, "run", words]


def worker(words: str) -> list[str]:
    """As `command`, but signals go to its main process alone."""
    return [SHIM, "worker", words]


def health(path: str, statuses: str, host: str) -> list[str]:
    """Its exit code says whether the app is healthy."""
    return [SHIM, "health", path, statuses, *([host] if host else [])]
