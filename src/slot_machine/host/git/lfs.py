"""Git LFS: files of which a tree has only the pointer, as the file itself was not fetched (git-lfs, docs/spec.md)."""

import os
from collections.abc import Iterable
from pathlib import Path

from slot_machine.host.files.regular import open_regular
from slot_machine.host.user.rights import acting

TRACKED = ":(top,attr:filter=lfs)"
"""The pathspec of all files that Git LFS keeps."""
POINTER = b"version https://git-lfs.github.com/spec/v1"
ON_PURPOSE = ("lfs.fetchexclude", "lfs.fetchinclude")
"""With these settings, or GIT_LFS_SKIP_SMUDGE, somebody wants pointers."""


@acting()
def pointers(tree: Path, names: Iterable[str]) -> list[str]:
    """Those of the files that are pointers."""
    return [name for name in names if _is_pointer(tree / name)]


def _is_pointer(file: Path) -> bool:
    if file.is_symlink():
        return False
    try:
        with os.fdopen(open_regular(file), "rb") as opened:
            return opened.read(len(POINTER)) == POINTER
    except OSError:
        return False
