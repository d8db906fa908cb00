"""What is called in an image: our process 1 and health check, or the shell, where the image is the user's own."""

from collections.abc import Sequence

from slot_machine.core.version_config import Process
from slot_machine.engines.image import layout
from slot_machine.engines.shape import App


def run(app: App, argv: Sequence[str]) -> list[str]:
    """A single word is a command line for `/bin/sh -c`."""
    if app.own_dockerfile:
        return ["/bin/sh", "-c", *argv] if len(argv) == 1 else list(argv)
    return [*layout.ENTRYPOINT, *layout.command(*argv)]


def worker(app: App, process: Process) -> list[str]:
    return run(app, [process.command]) if app.own_dockerfile else [*layout.ENTRYPOINT, *layout.worker(process)]


def unexpanded(command: Sequence[str]) -> list[str]:
    """As a manifest has it: a node takes `$(NAME)` for the value of a variable, and `$$` for `$`."""
    return [word.replace("$", "$$") for word in command]


def health(app: App) -> list[str]:
    """Asks the app. Its exit code says whether it is healthy, and its output why not. Not in the user's own image."""
    daemon = app.daemon
    other_port = [] if daemon.internal_port == daemon.port else ["/usr/bin/env", f"PORT={daemon.internal_port}"]
    return [*other_port, *layout.health(app.version)]
