"""What pip, uv, poetry, pdm and pipenv depend on."""

import posixpath
import re

from slot_machine.core.setup import pip
from slot_machine.core.setup.command import Install, is_inside
from slot_machine.core.setup.files import Files, Found, upwards

SETTINGS = (".python-version", "runtime.txt", ".tool-versions", "mise.toml", ".mise.toml", "uv.toml", "pip.conf")

MANIFESTS = {
    "uv": (("uv.lock",), ("pyproject.toml",)),
    "poetry": (("poetry.lock",), ("pyproject.toml", "poetry.toml")),
    "pdm": (("pdm.lock",), ("pyproject.toml", "pdm.toml")),
    "pipenv": (("Pipfile.lock",), ("Pipfile",)),
}
"""By tool, lock files and manifests."""

LOCAL_IN = {
    "uv": re.compile(r"\b(editable|directory|path) ?= ?\""),
    "poetry": re.compile(r"type ?= ?\"(directory|file)\"|\bpath ?= ?\""),
    "pdm": re.compile(r"\b(path|editable) ?= ?|file://"),
    "pipenv": re.compile(r"\"?\b(path|editable|file)\"? ?[=:]"),
}
WITHOUT_PROJECT = {"poetry": "--no-root", "pdm": "--no-self"}
NO_PROJECT = {
    "poetry": re.compile(r"^package-mode ?= ?false", re.MULTILINE),
    "pdm": re.compile(r"^distribution ?= ?false", re.MULTILINE),
}


def inputs(install: Install, files: Files) -> Found:
    found = Found(_environment(install))
    for place in upwards(install.folder):
        found.add(files, place, SETTINGS)
    if install.tool in MANIFESTS:
        _look_at_project(install, files, found)
    elif install.tool in ("pip", "uv pip"):
        if not found.installed:
            found.doubts.append(f"{install.program} may install outside of the version's files")
        pip.look_at(install.words, install.folder, files, found)
    return found


def _environment(install: Install) -> str:
    """The virtual environment; empty if it is not known."""
    if install.tool in ("venv", "virtualenv"):
        names = [word for word in install.words if not word.startswith("-")]
        return posixpath.normpath(posixpath.join(install.folder, names[0])) if names else ""
    if install.tool == "pip" and install.program.endswith(("/bin/pip", "/bin/pip3", "/bin/python", "/bin/python3")):
        place = posixpath.dirname(posixpath.dirname(install.program))
        return posixpath.normpath(posixpath.join(install.folder, place)) if is_inside(install.folder, place) else ""
    return "" if install.tool == "pip" else posixpath.join(install.folder, ".venv")


def _look_at_project(install: Install, files: Files, found: Found) -> None:
    locks, manifests = MANIFESTS[install.tool]
    found.locks = found.add(files, install.folder, locks)
    given = found.add(files, install.folder, manifests)
    if not found.locks:
        found.doubts.append("there is no lock file")
    texts = [files.read(path) for path in (*found.locks, *given)]
    for path, text in zip((*found.locks, *given), texts, strict=True):
        if LOCAL_IN[install.tool].search(text):
            found.doubts.append(f"{path} has local or editable packages")
    option = WITHOUT_PROJECT.get(install.tool)
    if option and option not in install.words and not any(map(NO_PROJECT[install.tool].search, texts)):
        found.doubts.append(f"{install.tool} installs the project itself as an editable package")
