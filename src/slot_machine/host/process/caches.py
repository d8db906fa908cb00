"""The folder `cache` in the data folder: what package managers have downloaded, for all trees.

It may be deleted at any time. Only those managers use it whose cache has nothing but downloads: Poetry and Yarn keep
things there that an installed app refers to.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from slot_machine.host.files.regular import open_regular
from slot_machine.host.user import rights

NAME = "cache"

FOLDERS = {
    "npm_config_cache": "npm",
    "PIP_CACHE_DIR": "pip",
    "UV_CACHE_DIR": "uv",
    "PIPENV_CACHE_DIR": "pipenv",
    "BUN_INSTALL_CACHE_DIR": "bun",
    "COMPOSER_CACHE_DIR": "composer",
}
"""By variable, which of its folders it gets."""

INSTEAD = {"PIP_CACHE_DIR": "PIP_NO_CACHE_DIR", "UV_CACHE_DIR": "UV_NO_CACHE"}
"""Somebody who sets this one does not want the other."""

CACHE_OF_NPM = re.compile(rb"^\s*cache\s*=", re.MULTILINE)


def variables(data: Path, env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Those that `env` does not set, for a setup in `folder`. Makes the cache's folder. Raises nothing."""
    try:
        with suppress(FileExistsError):
            rights.make_theirs(data / NAME, 0o700)
    except OSError:
        return {}
    given = {name.lower() for name in env}
    wanted = {
        name: str(data / NAME / inner)
        for name, inner in FOLDERS.items()
        if not {name.lower(), INSTEAD.get(name, name).lower()} & given
    }
    if any(_sets_npms(place / ".npmrc") for place in (folder, Path(env.get("HOME", "/")))):
        wanted.pop("npm_config_cache", None)
    return wanted


@rights.acting()
def _sets_npms(path: Path) -> bool:
    """Whether the file of settings names a cache: the variable would win over that."""
    with suppress(OSError), os.fdopen(open_regular(path), "rb") as file:
        return CACHE_OF_NPM.search(file.read()) is not None
    return False
