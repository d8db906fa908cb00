"""What git says of the current folder, for `init`."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.git_variables import unbound

LIMIT_S = 60.0
HARMLESS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


class Listing(NamedTuple):
    """`files` are those that git tracks or would add; None outside of a repository, or if git may not run here."""

    top: Path
    files: tuple[str, ...] | None
    tracked: frozenset[str]


def listing(folder: Path) -> Listing:
    """Under sudo, settings of the caller's repository could name commands, so git does not run there."""
    outside = Listing(folder.resolve(), None, frozenset())
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "0") != "0":
        return outside
    top = _git(folder, "rev-parse", "--show-toplevel").rstrip("\n")
    if not top:
        return outside
    known = _names(_git(folder, "ls-files", "-z", "--cached"))
    others = _names(_git(folder, "ls-files", "-z", "--others", "--exclude-standard"))
    here = tuple(name for name in dict.fromkeys((*known, *others)) if (folder / name).is_file())
    return Listing(Path(top), here, frozenset(known))


def _names(output: str) -> list[str]:
    return [name for name in output.split("\0") if name]


def _git(folder: Path, *args: str) -> str:
    """Its output; empty if it fails."""
    env = unbound(os.environ) | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *HARMLESS, *args],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
