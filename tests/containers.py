"""`shim.sh` as process 1: in namespaces of its own, with another program as /bin/sh."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

import slot_machine.engines.image as package

SHIM = Path(package.__file__).with_name("shim.sh")
SHELLS = ("dash", "bash", "busybox")
LIMIT_S = 20.0
ALONE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
AS_SH = 'mount --bind "$0" "$(readlink -f /bin/sh)" && exec /bin/sh "$@"'


def has_namespaces() -> bool:
    return subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0


class Container:
    """Runs until the test ends. `lines` are what it printed so far."""

    def __init__(self, shell: str, args: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        program = shutil.which(shell)
        if not program:
            pytest.skip(f"{shell} is not installed")
        self._out = folder / f"out-{time.monotonic_ns()}"
        with self._out.open("wb") as out:
            self._outer = subprocess.Popen(
                [*ALONE, "/bin/sh", "-c", AS_SH, program, str(SHIM), *args],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(env or {}),
            )

    @property
    def lines(self) -> list[str]:
        return self._out.read_bytes().decode(errors="surrogateescape").splitlines()

    def wait_for(self, line: str, count: int = 1) -> None:
        until(lambda: self.lines.count(line) >= count, lambda: f"{line!r} in {self.lines}")

    @property
    def first(self) -> int:
        """The pid of its process 1, as this machine has it."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        until(lambda: children.read_text().split() != [], lambda: "a process 1")
        return int(children.read_text().split()[0])

    def send(self, name: str) -> None:
        os.kill(self.first, signal.Signals[f"SIG{name}"])

    def wait_until_idle(self) -> None:
        """Its process 1 has run the trap of the last signal. bash loses one that comes at the end of that."""
        stat = Path(f"/proc/{self.first}/stat")
        until(lambda: stat.read_text().rpartition(") ")[2][0] == "S", lambda: "a sleep")

    def processes(self) -> dict[int, str]:
        """The states of all its processes, but for its process 1."""
        found: dict[int, str] = {}
        left = [self.first]
        while left:
            pid = left.pop()
            try:
                below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                states = {int(child): Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2][0] for child in below}
            except (FileNotFoundError, ProcessLookupError):
                continue
            found |= states
            left += states
        return found

    def code(self) -> int:
        return self._outer.wait(LIMIT_S)

    def end(self) -> None:
        self._outer.kill()
        self._outer.wait()


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    ends_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends_s, f"there is not {what()}"
        time.sleep(0.01)
