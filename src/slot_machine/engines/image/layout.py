"""Where things are in an image of ours, whatever it is built on. Pure."""

ROOT = "/app"
"""The commit's files."""
SHARED = "/var/lib/slot-machine/shared"
"""For the folders of `shared_dirs`: each is there by its name, and at its place in the commit's files."""
SHIM = "/usr/local/lib/slot-machine/shim"
HEALTH = (SHIM, "health")
"""Asks the app as the configuration says. Its exit code says whether it is healthy."""
ENV_FILE = "slot-machine-env"
"""The secret with the variables of `env_file`, in `/run/secrets`."""
STOP_DELAY = "SLOT_MACHINE_STOP_DELAY_MS"
"""The variable that says how long the shim keeps the stop signal from the app."""


def command(words: str) -> list[str]:
    """What runs a command of the configuration in the app's folder."""
    return [SHIM, "run", words]
