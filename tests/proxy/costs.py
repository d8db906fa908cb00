"""What a data plane takes of the machine."""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.proxy.conftest import Plane

SOON_S = 0.1
MEGABYTE_KB = 1024


def resident_kb(plane: Plane) -> int:
    return int(Path(f"/proc/{plane.process.pid}/status").read_text().split("VmRSS:")[1].split()[0])


def steps(do: Callable[[], object]) -> int:
    """Calls that Python takes: counted, as a time would not be the same on every machine."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        do()
    finally:
        sys.setprofile(None)
    return calls
