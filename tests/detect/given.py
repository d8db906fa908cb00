"""Projects made of a table of files, and machines made of a table of programs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from slot_machine.core.config import Config
from slot_machine.core.config_file import short_fields
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.detect.compose import Proposal, propose
from slot_machine.detect.machine import Numbers, numbers
from slot_machine.detect.project import Project

ALWAYS = {"health_timeout_ms", "drain_timeout_ms", "port", "api_port"}
Files = Mapping[str, str | dict[str, object]]

TOOLS = ("bun", "npm", "pnpm", "yarn", "uv", "poetry", "pdm", "pipenv", "bundle", "mix", "composer", "deno", "corepack")
EVERYTHING = dict.fromkeys(TOOLS, "99.0") | {
    "node": "v20.20.2",
    "python3": "Python 3.11.9",
    "ruby": "ruby 3.1.2p20",
    "go": "go1.24.1",
    "cargo": "1.88.0",
    "php": "8.4",
}


class GivenMachine:
    def __init__(self, programs: Mapping[str, str] = EVERYTHING) -> None:
        self.programs = programs

    def has(self, program: str) -> bool:
        return program in self.programs

    def version(self, program: str) -> Numbers:
        return numbers(self.programs.get(program, ""))


def project(top: Path, files: Files, root: str = "") -> Project:
    """The files in a folder; objects become JSON. `root` is the folder of the app."""
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Project(top / root, top)


def proposed(
    top: Path, files: Files, root: str = "", programs: Mapping[str, str] = EVERYTHING, *, env_tracked: bool = False
) -> Proposal:
    return propose(project(top, files, root), GivenMachine(programs), env_tracked=env_tracked)


def fields(found: Proposal) -> dict[str, object]:
    """What is written into the file, without what every file has."""
    written = short_fields(Config(found.version, DaemonConfig(env_file=found.env_file)))
    return {name: value for name, value in written.items() if name not in ALWAYS}


def package(scripts: Mapping[str, str], dependencies: Iterable[str] = (), **more: object) -> dict[str, object]:
    return {"name": "x", "scripts": scripts, "dependencies": dict.fromkeys(dependencies, "1"), **more}
