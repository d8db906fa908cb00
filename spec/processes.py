import os
import signal
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process by pid and start time, so that a later process with the same pid is never taken for it."""

    pid: int
    start_time: int

    def alive(self) -> bool:
        """A zombie is dead: it serves nothing, and whoever is its parent may reap it late."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[0] not in "ZX" and int(fields[19]) == self.start_time

    def kill(self) -> None:
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
