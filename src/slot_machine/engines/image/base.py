"""On which image an app's is built: `base_image`, or the official one of the runtime that its commands need."""

import posixpath
import re
from collections.abc import Mapping
from typing import NamedTuple

from slot_machine.core.errors import StageFailed
from slot_machine.core.phases import Phase
from slot_machine.core.version_config import VersionConfig
from slot_machine.detect.project import Project
from slot_machine.engines.image.runtimes import RUNTIMES, version

SET_ONE = "set base_image to an image that has what the app needs, or commit a Dockerfile"
WORD = re.compile(r"[^\s;&|()'\"<>`$=]+")
OF_FOLDERS = {".venv": "python", "venv": "python", "node_modules": "node", "vendor/bin": "php"}
"""Whose programs these folders have."""
INSTALLED_BY_PIP = ("uv", "poetry", "pdm", "pipenv")
MAVEN_OR_GRADLE = {"mvn": "maven:3-eclipse-temurin-{}", "gradle": "gradle:jdk{}"}
WITH_PYTHON = "node:{}"
"""The image of Node that is not slim has Python as well, with which `init` serves sites of files."""


class Base(NamedTuple):
    """`tools` are commands by which root installs what the image lacks. `others` are images to copy Node from."""

    image: str
    tools: tuple[str, ...] = ()
    copied: tuple[tuple[str, str, str], ...] = ()
    """What other images have for it: image, path there, path here."""


def base_of(app: VersionConfig, project: Project) -> Base:
    """Raises StageFailed if it can't be told, or if the commands need two runtimes that no official image has."""
    if app.base_image:
        return Base(app.base_image)
    used = _used(app)
    start = next(iter(used.get("start_command", {})), "")
    name = start or next((runtime for found in used.values() for runtime in found), "") or _by_manifest(project)
    if not name:
        what = "nothing in the commit says which runtime the app needs"
        raise StageFailed(
            Phase.BUILD, what, hint="set base_image, such as to `debian:stable-slim`, or commit a Dockerfile"
        )
    needed = {runtime: program for found in used.values() for runtime, program in found.items()}
    programs = {word for command in _commands(app).values() for word in _words(command)}
    if name == "python" and set(needed) == {"python", "node"} and _only_serves(app):
        name = "node"
    if name == "node" and needed.get("python") in ("python", "python3") and "pip" not in programs:
        return Base(WITH_PYTHON.format(version(RUNTIMES["node"], project)), _tools(programs))
    further = [runtime for runtime in needed if runtime not in (name, "node")]
    if further:
        _refuse(name, further[0], used)
    copied = [*_node_beside(project)] if "node" in needed and name != "node" else []
    if "composer" in programs:
        copied.append(("composer:2", "/usr/bin/composer", "/usr/bin/composer"))
    return Base(_image(name, project, programs), _tools(programs), tuple(copied))


def _image(name: str, project: Project, programs: set[str]) -> str:
    runtime = RUNTIMES[name]
    pattern = next((MAVEN_OR_GRADLE[program] for program in MAVEN_OR_GRADLE if program in programs), runtime.image)
    named = next((found[1] for word in sorted(programs) if (found := re.fullmatch(r"python(3\.\d+)", word))), "")
    return pattern.format(named if name == "python" and named else version(runtime, project))


def _tools(programs: set[str]) -> tuple[str, ...]:
    found = [f"pip install --no-cache-dir {tool}" for tool in INSTALLED_BY_PIP if tool in programs]
    if "pnpm" in programs and "corepack" not in programs:
        found.append("corepack enable")
    return tuple(found)


def _node_beside(project: Project) -> list[tuple[str, str, str]]:
    image = RUNTIMES["node"].image.format(version(RUNTIMES["node"], project))
    return [
        (image, "/usr/local/bin/", "/usr/local/bin/"),
        (image, "/usr/local/lib/node_modules", "/usr/local/lib/node_modules"),
    ]


def _commands(app: VersionConfig) -> dict[str, str]:
    """By what people know them as; the start first."""
    found = {
        "start_command": app.start_command,
        "build_command": app.build_command or "",
        "setup_command": app.setup_command or "",
        "release_command": app.release_command or "",
    }
    found |= {f"the command of {name}": worker.command for name, worker in app.workers.items()}
    found |= {f"the command of {name}": job.command for name, job in app.cron.items()}
    return {name: command for name, command in found.items() if command}


def _used(app: VersionConfig) -> dict[str, dict[str, str]]:
    """By command, the runtimes that it needs, each with the program that says so."""
    used: dict[str, dict[str, str]] = {}
    for name, command in _commands(app).items():
        for word in WORD.findall(command):
            if runtime := _runtime_of(word):
                used.setdefault(name, {}).setdefault(runtime, posixpath.basename(word))
    return used


def _words(command: str) -> list[str]:
    """The names of programs, and whatever else the command has."""
    return [posixpath.basename(word) for word in WORD.findall(command)]


def _runtime_of(word: str) -> str:
    for folder, runtime in OF_FOLDERS.items():
        if f"/{folder}/" in f"/{word}/" and posixpath.basename(word) != posixpath.basename(folder):
            return runtime
    name = posixpath.basename(word)
    if re.fullmatch(r"python3\.\d+", name):
        return "python"
    return (
        next((each for each, runtime in RUNTIMES.items() if name in runtime.programs), "") if _is_program(word) else ""
    )


def _is_program(word: str) -> bool:
    """Not an argument such as `app/node` or `--python`."""
    return not word.startswith("-") and (("/" not in word) or word.startswith(("/", "./", "bin/")))


def _only_serves(app: VersionConfig) -> bool:
    """As `init` lets a site of files be served."""
    return "-m http.server" in app.start_command


def _by_manifest(project: Project) -> str:
    return next((name for name, runtime in RUNTIMES.items() if project.first(*runtime.manifests)), "")


def _refuse(name: str, other: str, used: Mapping[str, Mapping[str, str]]) -> None:
    command, program = next((command, found[other]) for command, found in used.items() if other in found)
    what = f"{command} runs {program}, and the official image of {RUNTIMES[name].title} has no {RUNTIMES[other].title}"
    raise StageFailed(Phase.BUILD, what, hint=SET_ONE)
