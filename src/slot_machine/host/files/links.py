"""Symlinks that are replaced in one step."""

import os
from pathlib import Path


def point(link: Path, target: str | None) -> None:
    """Makes `link` point to `target` in one step. Removes it for None. Raises OSError."""
    if target is None:
        link.unlink(missing_ok=True)
        return
    if link.is_symlink() and os.readlink(link) == target:
        return
    fresh = link.with_name(f".{link.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    try:
        fresh.rename(link)
    except OSError:
        fresh.unlink()
        raise
