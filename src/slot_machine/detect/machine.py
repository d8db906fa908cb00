"""Which programs this machine has, and in which versions."""

import re
import shutil
import subprocess
from functools import cache
from typing import Protocol

LIMIT_S = 10.0
ASK = {"go": "version", "mix": "--version", "elixir": "--version"}

Numbers = tuple[int, ...]


class Machine(Protocol):
    def has(self, program: str) -> bool: ...

    def version(self, program: str) -> Numbers:
        """Empty if it can't be told."""


class ThisMachine:
    def has(self, program: str) -> bool:
        return shutil.which(program) is not None

    @cache  # noqa: B019 - lives as long as the command
    def version(self, program: str) -> Numbers:
        if not self.has(program):
            return ()
        try:
            done = subprocess.run(
                [program, ASK.get(program, "--version")],
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                timeout=LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ()
        return numbers(done.stdout)


def numbers(text: str) -> Numbers:
    """The first version in a text: `v20.1.0` is (20, 1, 0)."""
    found = re.search(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups() if part) if found else ()


def shown(version: Numbers) -> str:
    return ".".join(map(str, version))
