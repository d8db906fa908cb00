"""Where things are in an image that we make, and the arguments that its process 1, `shim.sh`, takes.

An image of the user's own `Dockerfile` has none of this.
"""

import posixpath
from collections.abc import Sequence

from slot_machine.core.version_config import Process, VersionConfig
from slot_machine.engines.image.listening import for_everybody

USER = 10001
"""The user and the group that all runs as. A number, so that `runAsNonRoot` of Kubernetes can check it."""
HOME = "/home/app"
APP = "/app"
"""The repository's top folder."""
OWN = "/slot-machine"
SHIM = f"{OWN}/shim.sh"
SHARED = "/shared"
"""Data that all versions share: a volume is mounted here. The app has links to it at the paths of `shared_dirs`."""

ENTRYPOINT = ("/bin/sh", SHIM)
ENV_FILE = "SLOT_MACHINE_ENV_FILE"
"""The variable that names the file with the app's variables, which `variables.written` makes."""
STOP_DELAY = "SLOT_MACHINE_STOP_DELAY_MS"
"""The variable with the time that the first SIGTERM waits."""
STOP_SIGNAL = "SLOT_MACHINE_STOP_SIGNAL"
"""The variable with the signal, such as `INT`, that a worker gets in place of SIGTERM."""


def web(version: VersionConfig) -> tuple[str, ...]:
    """Arguments after the entry point, as the other ones here. These are the image's own."""
    return "run", for_everybody(version.start_command)


def worker(process: Process) -> tuple[str, ...]:
    """Its main process alone gets signals."""
    return "worker", process.command


def command(*argv: str) -> tuple[str, ...]:
    """A single one is a command line for `/bin/sh -c`, such as that of a release or a job."""
    return "run", *argv


def health(version: VersionConfig) -> tuple[str, ...]:
    """A whole command line. It is for the web process; other ones have to switch the image's health check off."""
    return *ENTRYPOINT, "health", version.health_endpoint, str(version.health_status), version.health_host


def folder(version: VersionConfig) -> str:
    """In which all commands run."""
    return posixpath.normpath(posixpath.join(APP, version.root))


def shared(version: VersionConfig) -> Sequence[str]:
    """Paths of shared data, relative to the folder of the app and to the volume."""
    return *version.shared_dirs, *version.shared_files
