"""`.env`: whether it is taken, and which variables it lacks."""

import io
import re
from typing import NamedTuple

from dotenv.parser import parse_stream

from slot_machine.detect.project import Project
from slot_machine.host.process.env_example import EXAMPLES

REQUIRED = re.compile(
    r"os\.environ\[['\"](\w+)['\"]\](?!\s*=[^=])|(?:\benv|\benv\.str|\bconfig)\(\s*['\"](\w+)['\"]\s*\)"
    r"|if\s+(?:not\s+)?os\.(?:getenv|environ\.get)\(['\"](\w+)['\"][^)]*\)(?:\s+is\s+None)?\s*:\s*\n\s*raise"
)
TRACKED = (
    "git tracks .env, so it is for development: it is not env_file. Put production's variables into a file that git"
    " ignores, and name that file as env_file"
)


class Environment(NamedTuple):
    """`file` is empty if there is none to take."""

    file: str
    look: tuple[str, ...]


def find(project: Project, *, tracked: bool) -> Environment:
    """`tracked`: whether git has `.env`."""
    exists = (project.folder / ".env").is_file()
    example = project.first(*EXAMPLES)
    wanted = names(project.text(example))
    if exists and tracked:
        return Environment("", (TRACKED,))
    if not exists:
        said = f"{example} names {_listed(wanted)}: put them into a file, and name it as env_file"
        return Environment("", (said,) if wanted else ())
    missing = wanted - names(project.on_disk(".env"))
    said = f".env lacks {_listed(missing)}, which {example} names"
    return Environment(".env", (said,) if missing else ())


def required(text: str, project: Project) -> tuple[str, ...]:
    """A line for the user if `.env` lacks variables that a Python source can't do without."""
    found = dict.fromkeys(name for match in REQUIRED.finditer(text) for name in match.groups() if name)
    missing = frozenset(name for name in found if not re.search(rf"['\"]{name}['\"] in os\.environ", text))
    missing -= names(project.on_disk(".env"))
    return (f"set {_listed(missing)} in env_file: the settings can't do without",) if missing else ()


def names(text: str) -> frozenset[str]:
    """The variables of an env file."""
    return frozenset(binding.key for binding in parse_stream(io.StringIO(text)) if binding.key and not binding.error)


def _listed(keys: frozenset[str]) -> str:
    shown = sorted(keys)
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
