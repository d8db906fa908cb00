"""The environment of the app and of its setup."""

import os
from pathlib import Path

from dotenv import dotenv_values

from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version

GIT_LOCATION = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""What git sets for its hooks. A daemon started from one must not take it for its own or hand it on."""


def inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in GIT_LOCATION}


def read_env_file(path: Path) -> dict[str, str]:
    """A name without `=` is skipped; `$` in values stands for itself. Raises OSError, UnicodeDecodeError."""
    with path.open(encoding="utf-8") as stream:
        values = dotenv_values(stream=stream, interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def compose(version: Version, env_file: Path | None, ports: dict[str, int], stage: str) -> dict[str, str]:
    """`ports` are the variables that carry ports, none for the setup. Raises StageFailed for a missing `env_file`."""
    env = inherited()
    if env_file:
        try:
            env |= read_env_file(env_file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise StageFailed(stage, f"cannot read env_file {env_file}: {reason}") from None
    env |= {name: str(port) for name, port in ports.items()}
    return env | {
        "SLOT_MACHINE": "1",
        "SLOT_MACHINE_SLOT": version.slot,
        "SLOT_MACHINE_COMMIT": version.commit,
    }
