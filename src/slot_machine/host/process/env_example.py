"""Files such as `.env.example`, which name the variables that an app needs."""

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from slot_machine.host.files.regular import open_regular
from slot_machine.host.user.rights import acting

EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist", "env.example")
LOADED = (".env", ".env.local", ".env.production", ".env.production.local")
"""Files that many apps read by themselves."""

MOST_CHARACTERS = 65_536


@acting()
def unset(folder: Path, env: Mapping[str, str]) -> tuple[str, list[str]]:
    """The name of the folder's example file, and those of its variables that are in neither `env` nor a file of LOADED.

    Empty where there is no such file. Files that can't be read count as missing.
    """
    example = next((name for name in EXAMPLES if (folder / name).is_file()), "")
    wanted = dict.fromkeys(_names(folder / example)) if example else {}
    given = {*env, *(name for file in LOADED for name in _names(folder / file))}
    return example, [name for name in wanted if name not in given]


def _names(path: Path) -> list[str]:
    try:
        with os.fdopen(open_regular(path), encoding="utf-8-sig", errors="replace") as stream:
            head = stream.read(MOST_CHARACTERS)
    except OSError:
        return []
    return [binding.key for binding in parse_stream(StringIO(head)) if binding.key]
