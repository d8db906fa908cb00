"""`package.json`, and the package manager that goes with it."""

import re
from fnmatch import fnmatch
from functools import partial
from pathlib import PurePosixPath
from typing import NamedTuple

from slot_machine.detect.machine import Machine, numbers, shown
from slot_machine.detect.project import Project, table, texts

LOCKS = {
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
}
PINNED = {"pnpm": "pnpm@9.15.9", "pnpm 6": "pnpm@8.15.9", "pnpm 5": "pnpm@7.33.7", "yarn": "yarn@1.22.22"}
"""What corepack gets where the project names no version, so that two deploys have the same one. By lock format."""
OLDEST_COREPACK = (0, 31)
"""Older ones do not know the keys that packages are signed with since 2025: "Cannot find matching keyid"."""


class Package(NamedTuple):
    """`where` is the folder with the lock file, empty for the app's own. `lock` is its path, empty if there is none."""

    scripts: dict[str, str]
    dependencies: frozenset[str]
    main: str
    engine: str
    manager: str
    where: str
    lock: str
    locks: tuple[str, ...]
    pinned: str

    @property
    def bin(self) -> str:
        """Where the programs of the packages are. A workspace has them in the folder of its lock file."""
        return f"{self.where}/node_modules/.bin" if self.where and self.manager != "pnpm" else "node_modules/.bin"


def read(project: Project) -> Package:
    """Raises Unreadable."""
    raw = project.json("package.json")
    where, locks = _locks(project)
    named = str(raw.get("packageManager") or "")
    for parent in project.parents:
        if not named:
            named = str(project.json(f"{parent}/package.json").get("packageManager") or "")
    manager = re.split("@", named)[0] if named else ""
    if manager not in LOCKS.values():
        managers = {LOCKS[lock.split("/")[-1]] for lock in locks}
        manager = managers.pop() if len(managers) == 1 else "" if managers else "npm"
        named = ""
    own = next((lock for lock in locks if LOCKS[lock.split("/")[-1]] == manager), "")
    return Package(
        scripts=texts(table(raw, "scripts")),
        dependencies=frozenset(table(raw, "dependencies")) | frozenset(table(raw, "devDependencies")),
        main=main if isinstance(main := raw.get("main"), str) else "",
        engine=str(table(raw, "engines").get("node") or ""),
        manager=manager,
        where=where if own else "",
        lock=own,
        locks=locks,
        pinned=named.split("+")[0],
    )


def program(package: Package, project: Project, machine: Machine) -> str:
    """The command that calls the package manager. It is corepack's where the manager itself is not installed."""
    manager = package.manager
    if manager == "yarn" and (release := _yarn_release(project, package.where)):
        return f"node {release}"
    if manager in ("npm", "bun") or machine.has(manager):
        return manager
    return f"corepack {package.pinned or _pin(package, project)}"


def install(package: Package, project: Project, machine: Machine) -> str:
    """Installs what the lock file names; with what builds the app if it is built."""
    if not package.manager:
        return ""
    call = program(package, project, machine)
    built = "build" in package.scripts
    berry = _is_berry(project, package)
    match package.manager, bool(package.lock):
        case "npm", True:
            command = f"{call} ci{' --include=dev' if built else ''}"
        case "npm", False:
            command = f"{call} install{' --include=dev' if built else ''}"
        case "yarn", True:
            command = f"{call} install {'--immutable' if berry else '--frozen-lockfile'}"
        case _, True:
            command = f"{call} install --frozen-lockfile"
        case _:
            command = f"{call} install"
    if built and (package.manager == "pnpm" or (package.manager == "yarn" and not berry)):
        command += " --prod=false" if package.manager == "pnpm" else " --production=false"
    return f"cd {package.where} && {command}" if package.where else command


def run(package: Package, project: Project, machine: Machine, script: str) -> str:
    return f"{program(package, project, machine)} run {script}"


def remarks(package: Package, machine: Machine) -> list[str]:
    found = []
    formats = {LOCKS[lock.split("/")[-1]] for lock in package.locks}
    if not package.manager:
        found.append(
            f"fill in setup_command: {' and '.join(package.locks)} are both there. Remove those that are not used, or"
            " set packageManager in package.json"
        )
    elif len(formats) > 1:
        found.append(f"{', '.join(package.locks)} are there: packageManager in package.json says {package.manager}")
    elif not package.lock:
        found.append(f"commit the lock file of {package.manager}: without it, two deploys may install other versions")
    if package.manager in ("pnpm", "yarn") and not machine.has(package.manager):
        version = machine.version("corepack")
        if not machine.has("corepack"):
            found.append(f"{package.manager} is not installed on this machine, nor is corepack, which could get it")
        elif version < OLDEST_COREPACK:
            found.append(
                f"corepack {shown(version)} may fail with 'Cannot find matching keyid':"
                " update it with `npm install -g corepack`"
            )
    elif package.manager and not machine.has(package.manager):
        found.append(f"{package.manager} is not installed on this machine")
    return found


def _locks(project: Project) -> tuple[str, tuple[str, ...]]:
    """The nearest folder with lock files, and these. A folder above counts if this one is of its workspace."""
    for where in ("", *filter(partial(_is_member, project), project.parents)):
        names = [f"{where}/{name}" if where else name for name in LOCKS]
        if found := tuple(name for name in names if project.has(name)):
            return where, found
    return "", ()


def _is_member(project: Project, where: str) -> bool:
    """Whether the app belongs to the workspace of a folder above."""
    named = project.json(f"{where}/package.json").get("workspaces")
    patterns = named.get("packages") if isinstance(named, dict) else named
    globs = [str(pattern) for pattern in patterns] if isinstance(patterns, list) else []
    globs += re.findall(r"^\s*-\s*['\"]?([^'\"\s#]+)", project.text(f"{where}/pnpm-workspace.yaml"), re.MULTILINE)
    path = "/".join(PurePosixPath(project.root).parts[-where.count("..") :])
    return any(fnmatch(path, glob.removeprefix("./").rstrip("/")) for glob in globs)


def _is_berry(project: Project, package: Package) -> bool:
    if package.manager != "yarn":
        return False
    return "__metadata:" in project.text(package.lock) or numbers(package.pinned)[:1] >= (2,)


def _yarn_release(project: Project, where: str) -> str:
    settings = project.text(f"{where}/.yarnrc.yml" if where else ".yarnrc.yml")
    found = re.search(r"^yarnPath:\s*['\"]?(\S+?)['\"]?\s*$", settings, re.MULTILINE)
    return found[1] if found else ""


def _pin(package: Package, project: Project) -> str:
    if package.manager == "yarn":
        return "yarn@4.9.4" if _is_berry(project, package) else PINNED["yarn"]
    found = re.search(r"lockfileVersion:\s*['\"]?(\d)", project.text(package.lock))
    return PINNED.get(f"pnpm {found[1]}" if found else "", PINNED["pnpm"])
