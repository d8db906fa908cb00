"""Runs the test modules of this folder, each in a lab of its own, some at once: most of their time is spent in waiting.

Usage: python -m tests.swarm.all. The output of a module is printed when it ends. Exits with 1 if one failed.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.swarm import apart

AT_ONCE = 3
LONGEST_FIRST = ("test_engine.py", "test_traffic.py", "test_commands.py", "test_edge.py")
NO_TESTS = 5
"""Pytest's exit code where none was collected."""


def modules() -> list[Path]:
    found = sorted(Path(__file__).parent.glob("test_*.py"))
    first = [path for name in LONGEST_FIRST for path in found if path.name == name]
    return [*first, *(path for path in found if path not in first)]


def tested(module: Path) -> int:
    """The exit code."""
    began_s = time.monotonic()
    argv = [sys.executable, "-m", "tests.swarm.apart", sys.executable, "-m", "pytest", "-q", str(module)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(f"== {module.name}: {time.monotonic() - began_s:.0f} s\n{done.stdout}", flush=True)
    return 0 if done.returncode == NO_TESTS else done.returncode


def main() -> int:
    if not apart.obstacle():
        apart.no_image()  # Once, before several labs want it.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(tested, modules()))
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
