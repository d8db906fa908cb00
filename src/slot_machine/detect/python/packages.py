"""Python's package managers: which one a project uses, what it depends on, and how it is installed into `.venv`."""

import re
from typing import NamedTuple

from slot_machine.detect.machine import Machine
from slot_machine.detect.project import Project, table
from slot_machine.detect.versions import fits, mismatch

MANIFESTS = (
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/base.txt",
    "Pipfile",
    "pyproject.toml",
    "setup.py",
)
DJANGO = {1: "<3.8", 2: "<3.10", 5: ">=3.10", 6: ">=3.12"}
"""The Python that each version of Django works with, where that matters today."""
OLDEST_MINOR, NEWEST_MINOR = 6, 20
LOCKED = {"uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile.lock": "pipenv"}
DEPENDENCIES = (
    """.venv/bin/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"];"""
    """ print(*project["dependencies"], sep="\\n")' > .venv/dependencies.txt"""
)
"""pip installs a project's dependencies only together with the project, and that needs a build system."""


class Packages(NamedTuple):
    """`file` is the lock file or manifest that is used; `others` are those of other tools. `bin` has the programs."""

    file: str
    others: tuple[str, ...]
    dependencies: frozenset[str]
    bin: str

    @property
    def manager(self) -> str:
        return LOCKED.get(self.file.split("/")[-1], "pip")

    def has(self, *names: str) -> bool:
        return any(name in self.dependencies for name in names)


def read(project: Project) -> Packages | None:
    """None if no file says that this is a Python project. Raises Unreadable."""
    found = [name for name in MANIFESTS if project.has(name)]
    found += [f"{parent}/uv.lock" for parent in project.parents if project.has(f"{parent}/uv.lock")]
    if "pyproject.toml" in found and not _describes_an_app(project):
        found.remove("pyproject.toml")
    if not found:
        return None
    found.sort(key=lambda name: name.split("/")[-1] not in LOCKED)
    locks = tuple(name for name in found if name.split("/")[-1] in LOCKED)
    where = found[0].rsplit("/", 1)[0] + "/" if found[0].startswith("../") else ""
    file = "" if len(locks) > 1 and not where else found[0]
    return Packages(file, locks[1:] if file else locks, _dependencies(project), f"{where}.venv/bin")


def install(packages: Packages, project: Project, python: str) -> str:
    """Empty if it can't be told. `python` makes the virtual environment where pip installs."""
    venv = f"{python} -m venv .venv"
    match packages.file.split("/")[-1]:
        case "uv.lock":
            member = f" --package={_own_name(project)}" if packages.file.startswith("../") else ""
            return f"uv sync --frozen{member}"
        case "poetry.lock":
            own = "" if project.matching(r"src/\w+/__init__\.py") else " --no-root"
            return f"POETRY_VIRTUALENVS_CREATE=1 POETRY_VIRTUALENVS_IN_PROJECT=1 poetry install --no-interaction{own}"
        case "pdm.lock":
            return "PDM_IGNORE_ACTIVE_VENV=1 pdm sync --prod"
        case "Pipfile.lock":
            return "PIPENV_VENV_IN_PROJECT=1 PIPENV_IGNORE_VIRTUALENVS=1 pipenv sync"
        case "Pipfile":
            return "PIPENV_VENV_IN_PROJECT=1 PIPENV_IGNORE_VIRTUALENVS=1 pipenv install --skip-lock"
        case "pyproject.toml":
            if _is_built(project):
                return f"{venv} && .venv/bin/pip install -e ."
            if table(project.toml("pyproject.toml"), "tool", "poetry"):
                return f"{venv} && .venv/bin/pip install -e ."
            return f"{venv} && {DEPENDENCIES} && .venv/bin/pip install -r .venv/dependencies.txt"
        case "setup.py":
            return f"{venv} && .venv/bin/pip install -e ."
        case "":
            return ""
        case _:
            return f"{venv} && .venv/bin/pip install -r {packages.file}"


def remarks(packages: Packages, project: Project, machine: Machine) -> list[str]:
    if not packages.file:
        names = " and ".join(packages.others)
        return [f"fill in setup_command: {names} are both there. Remove those that are not used"]
    tool = "python3" if packages.manager == "pip" else packages.manager
    found = [] if machine.has(tool) else [f"{tool} is not installed on this machine, and {packages.file} needs it"]
    loose = _loose(project.text(packages.file)) if packages.file.endswith(".txt") else []
    if loose:
        shown = ", ".join(loose[:5]) + (" and others" if loose[5:] else "")
        found.append(f"{packages.file} fixes no version of {shown}: two deploys may install other ones")
    if packages.file.split("/")[-1] in ("pyproject.toml", "setup.py", "Pipfile"):
        found.append(f"{packages.file} fixes no versions: without a lock file, two deploys may install other ones")
    return found


def _loose(text: str) -> list[str]:
    """Requirements that are not pinned to one version."""
    names = re.findall(r"^[ \t]*([A-Za-z][\w.-]*)(?:\[[^\]]*\])?[ \t]*([^\n#;]*)", text, re.MULTILINE)
    return [name for name, rest in names if "==" not in rest and "@" not in rest]


def python(project: Project, machine: Machine) -> tuple[str, str]:
    """The program to use, and a line for the user if the machine has none that is asked for."""
    wanted, file = wanted_version(project)
    said = mismatch(machine, "python3", wanted, file)
    if said and wanted:
        for minor in range(NEWEST_MINOR, OLDEST_MINOR - 1, -1):
            program = f"python3.{minor}"
            if machine.has(program) and machine.version(program) and fits(machine.version(program), wanted):
                return program, ""
    return "python3", said


def wanted_version(project: Project) -> tuple[str, str]:
    """The version of Python that is asked for, and the file that asks."""
    own = re.search(r"^\s*(\d[\d.]*)\s*$", project.text(".python-version"), re.MULTILINE)
    if own:
        return own[1], ".python-version"
    runtime = re.search(r"python-(\d+\.\d+)", project.text("runtime.txt"))
    if runtime:
        return runtime[1], "runtime.txt"
    raw = project.toml("pyproject.toml")
    asked = table(raw, "project").get("requires-python") or table(raw, "tool", "poetry", "dependencies").get("python")
    return (asked, "pyproject.toml") if isinstance(asked, str) else _wanted_by_django(project)


def _wanted_by_django(project: Project) -> tuple[str, str]:
    for name in project.matching(r"requirements[\w-]*\.txt|requirements/[\w-]+\.txt"):
        pinned = re.search(r"^django(?:\[.*\])?\s*[=~>]=\s*(\d+)", project.text(name), re.MULTILINE | re.IGNORECASE)
        if pinned and (wanted := DJANGO.get(int(pinned[1]))):
            return wanted, f"{name} (Django {pinned[1]})"
    return "", "the project"


def _describes_an_app(project: Project) -> bool:
    """Many projects have a pyproject.toml for the settings of linters only."""
    raw = project.toml("pyproject.toml")
    return bool(table(raw, "project") or table(raw, "tool", "poetry") or table(raw, "build-system"))


def _is_built(project: Project) -> bool:
    raw = project.toml("pyproject.toml")
    return bool(table(raw, "build-system")) or "dependencies" not in table(raw, "project")


def _own_name(project: Project) -> str:
    return str(table(project.toml("pyproject.toml"), "project").get("name") or project.name)


def _dependencies(project: Project) -> frozenset[str]:
    raw = project.toml("pyproject.toml")
    lines: list[object] = []
    for group in (table(raw, "project").get("dependencies"), *table(raw, "project", "optional-dependencies").values()):
        lines += group if isinstance(group, list) else []
    for group in table(raw, "dependency-groups").values():
        lines += group if isinstance(group, list) else []
    lines += table(raw, "tool", "poetry", "dependencies")
    lines += table(project.toml("Pipfile"), "packages")
    found = {_name(line) for line in lines if isinstance(line, str)}
    if any(line.startswith("fastapi[") for line in lines if isinstance(line, str)):
        found.add("uvicorn")
    for name in project.matching(r"requirements[\w-]*\.(txt|in)|requirements/[\w-]+\.(txt|in)"):
        text = project.text(name)
        found |= {_name(line) for line in text.splitlines() if re.match(r"\s*[A-Za-z]", line)}
        found |= {"uvicorn"} if re.search(r"^fastapi\[", text, re.MULTILINE) else set()
    found |= {_name(line) for line in re.findall(r"['\"]([A-Za-z][\w.-]*)\s*[=<>~!\[;'\"]", project.text("setup.py"))}
    return frozenset(found)


def _name(requirement: str) -> str:
    found = re.match(r"\s*([A-Za-z0-9][\w.-]*)", requirement)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""
