"""Symlinks in a tree that lead to the tree of another version."""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from slot_machine.host.files import mounts
from slot_machine.host.git.listing import is_packages

MOST_ENTRIES = 50_000
"""The search ends after so many files and folders."""

OF_VERSIONS = re.compile(r"(tree-\d|slot-[ab]|live|previous)(/|\Z)")
"""In the data folder. The slots, `live` and `previous` lead to another tree after a switch."""


def found(tree: Path) -> dict[str, str]:
    """Their names, each with the link's target. Blocks."""
    data, own = str(tree.parent), f"{tree.name}/"
    stray = {}
    for link in _links(tree):
        target = os.readlink(link)
        place = os.path.normpath(os.path.join(os.path.dirname(link), target))
        inside = os.path.relpath(place, data)
        if OF_VERSIONS.match(inside) and not f"{inside}/".startswith(own):
            stray[os.path.relpath(link, tree)] = target
    return stray


def _links(tree: Path) -> Iterator[str]:
    entries = itertools.islice(_entries(tree), MOST_ENTRIES)
    return (entry.path for entry in entries if entry.is_symlink())


def _entries(tree: Path) -> Iterator["os.DirEntry[str]"]:
    folders, mounted = [str(tree)], mounts.below(tree)
    for folder in folders:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        yield from entries
        inner = (Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
        folders += (str(path) for path in inner if path not in mounted and not is_packages(path))
