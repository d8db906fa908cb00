"""What a run may take of the machine."""

from typing import NamedTuple

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.model import WEB
from slot_machine.core.side_runs import parts
from slot_machine.core.version_config import VersionConfig

MEGABYTE = 1_000_000
HARD_FACTOR = 2
"""At so many times `memory_max_mb` stands the control group's limit, above which the kernel kills."""


class Limits(NamedTuple):
    """`memory_max_mb` 0 is no limit; `cpu_weight` 100 is the kernel's own."""

    memory_max_mb: int = 0
    cpu_weight: int = 100

    @property
    def memory_max_bytes(self) -> int:
        return self.memory_max_mb * MEGABYTE

    @property
    def hard_bytes(self) -> int:
        return self.memory_max_bytes * HARD_FACTOR


def limits_of(run: str, daemon: DaemonConfig, version: VersionConfig) -> Limits:
    """`run` is its name in the release."""
    if run == WEB:
        return Limits(daemon.memory_max_mb, daemon.cpu_weight)
    process = version.workers.get(parts(run)[0])
    return Limits(process.memory_max_mb, process.cpu_weight) if process else Limits()
