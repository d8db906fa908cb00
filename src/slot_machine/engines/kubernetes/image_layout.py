"""What is called in an image: our process 1 and health check, or the shell, where the image is the user's own."""

from collections.abc import Sequence

from slot_machine.core.version_config import Process
from slot_machine.engines.shape import App

ENTRYPOINT = ("/bin/sh", "/slot-machine/shim.sh")
SHARED = "/shared"
USER = 10001
"""The number of the user that the app runs as, and of its group."""
STOP_SIGNAL = "SLOT_MACHINE_STOP_SIGNAL"


def run(app: App, argv: Sequence[str]) -> list[str]:
    """A single word is a command line for `/bin/sh -c`."""
    if app.own_dockerfile:
        return ["/bin/sh", "-c", *argv] if len(argv) == 1 else list(argv)
    return [*ENTRYPOINT, "run", *argv]


def worker(app: App, process: Process) -> list[str]:
    return run(app, [process.command]) if app.own_dockerfile else [*ENTRYPOINT, "worker", process.command]


def health(app: App) -> list[str]:
    """Asks the app. Its exit code says whether it is healthy, and its output why not. Not in the user's own image."""
    version = app.version
    asked = [version.health_endpoint, str(version.health_status), version.health_host]
    return ["/usr/bin/env", f"PORT={app.daemon.internal_port}", *ENTRYPOINT, "health", *asked]
