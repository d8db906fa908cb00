"""What pip, uv, poetry, pdm and pipenv depend on."""

import posixpath
import re
import shlex

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

FILE_OPTIONS = {"-r": "-r", "--requirement": "-r", "--requirements": "-r", "-c": "-c", "--constraint": "-c"}
EDITABLE = {"-e", "--editable"}
ELSEWHERE = {"-t", "--target", "--prefix", "--root", "--user", "--break-system-packages", "--system"}
LINKS = {"-f", "--find-links"}
UPGRADES = {"-U", "--upgrade", "--upgrade-strategy", "--force-reinstall"}
INSTALLERS = {"pip", "setuptools", "wheel", "uv"}
PATH = re.compile(r"[.~]{0,2}/|\.{1,2}\Z|\.\[|file:|[^@]*\.(whl|zip|tar\.gz)\Z|.*@ ?file:")
UNPINNED = re.compile(r"(?!.*@[0-9a-f]{40}\b)(.*@ ?)?(git|hg|svn|bzr)\+", re.DOTALL)
URL = re.compile(r"https?://")


def inputs(install: Install, files: Files) -> Found:
    found = Found(_environment(install))
    for place in upwards(install.folder):
        found.add(files, place, SETTINGS)
    if install.tool in MANIFESTS:
        _look_at_project(install, files, found)
    elif install.tool in ("pip", "uv pip"):
        if not found.installed:
            found.doubts.append(f"{install.program} may install outside of the version's files")
        _follow(list(install.words), install.folder, files, found, "setup_command")
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


def _follow(words: list[str], folder: str, files: Files, found: Found, where: str) -> None:
    """Words of pip, on the command line or in a requirements file in `folder`. `where` names that for a doubt."""
    upgrades, named, files_named = False, list[str](), 0
    while words:
        word = words.pop(0)
        option, _, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        if option in FILE_OPTIONS:
            files_named += 1
            _follow_file(value or (words.pop(0) if words else ""), folder, files, found, where)
        elif option in EDITABLE:
            found.doubts.append(f"{where} has the editable package {value or (words.pop(0) if words else '')}")
        elif option in LINKS:
            value = value or (words.pop(0) if words else "")
            found.doubts += [] if URL.match(value) else [f"{where} installs from the folder {value}"]
        elif option in ELSEWHERE:
            found.doubts.append(f"{where} has {option}, which installs elsewhere")
        elif option in UPGRADES:
            upgrades = True
        elif not word.startswith("-"):
            named.append(word)
    found.doubts += [f"{where} has the local package {name}" for name in named if PATH.match(name)]
    found.doubts += [f"{where} has {name}, which has no fixed commit" for name in named if UNPINNED.match(name)]
    if upgrades and (files_named or not set(named) - {"install"} <= INSTALLERS):
        found.doubts.append(f"{where} asks for the newest packages")


def _follow_file(path: str, folder: str, files: Files, found: Found, where: str) -> None:
    name = posixpath.normpath(posixpath.join(folder, path))
    if URL.match(path) or not is_inside(folder, path) or not files.has(name):
        found.doubts.append(f"{where} names {path}, which is not in the commit")
        return
    if name in found.inputs:
        return
    found.add(files, "", (name,))
    found.locks.append(name)
    for line in files.read(name).replace("\\\n", " ").splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        text = text.partition(";")[0] if not text.startswith("-") else text
        if text.startswith("-"):
            _follow(_words(text), posixpath.dirname(name), files, found, name)
        elif text:
            _follow([text.partition(" --")[0]], posixpath.dirname(name), files, found, name)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
