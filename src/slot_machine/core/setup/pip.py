"""Which files the words of pip and uv pip name, on a command line or in a requirements file."""

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence

from slot_machine.core.setup.command import is_inside
from slot_machine.core.setup.files import Files, Found

REQUIREMENTS = "--requirement"
GROUP = "--group"
EDITABLE = "--editable"
LINKS = "--find-links"
FILES = {
    *(REQUIREMENTS, "--requirements", "--requirements-from-script", "--constraint", "--constraints"),
    *("--build-constraint", "--build-constraints", "--override", "--overrides", "--excludes"),
}
ELSEWHERE = {"--target", "--prefix", "--root", "--user", "--break-system-packages", "--system"}
UPGRADES = {"--upgrade", "--upgrade-package", "--upgrade-strategy", "--force-reinstall", "--ignore-installed"}
OTHERS_WITH_VALUE = {
    *("--index-url", "--extra-index-url", "--index", "--default-index", "--trusted-host", "--proxy", "--cert"),
    *("--client-cert", "--timeout", "--retries", "--log", "--cache-dir", "--src", "--python", "--python-version"),
    *("--platform", "--implementation", "--abi", "--only-binary", "--no-binary", "--progress-bar", "--report"),
    *("--config-settings", "--global-option", "--use-feature", "--use-deprecated", "--exists-action", "--extra"),
    *("--keyring-provider", "--root-user-action", "--link-mode", "--resolution", "--prerelease", "--exclude-newer"),
}
WITH_VALUE = {
    *(GROUP, EDITABLE, LINKS, "--target", "--prefix", "--root", "--upgrade-package", "--upgrade-strategy"),
    *FILES,
    *OTHERS_WITH_VALUE,
}
KNOWN = sorted(WITH_VALUE | ELSEWHERE | UPGRADES, key=len)
SHORT = {
    "r": REQUIREMENTS,
    "c": "--constraint",
    "b": "--build-constraint",
    "e": EDITABLE,
    "f": LINKS,
    "t": "--target",
    "U": "--upgrade",
    "I": "--ignore-installed",
    "P": "--upgrade-package",
    "i": "--index-url",
    "p": "--python",
    "C": "--config-settings",
}

INSTALLERS = {"pip", "setuptools", "wheel", "uv"}
URL = re.compile(r"https?://")
REMOTE = re.compile(r"([^/]*@ ?)?(https?|(git|hg|svn|bzr)\+[a-z]+)://")
LOCAL = re.compile(r"[.~]{0,2}/|\.{1,2}\Z|\.\[|(.*@ ?)?file:|[^@]*\.(whl|zip|tar|tgz|tbz|txz|tar\.\w+)\Z|[^@]*[/\\]")
UNPINNED = re.compile(r"(?!.*@[0-9a-f]{40}\b)(.*@ ?)?(git|hg|svn|bzr)\+", re.DOTALL)
MANIFEST = re.compile(r".*\.(toml|cfg|py)")
LOCAL_IN_MANIFEST = re.compile(r"\b(file:|path ?=|editable ?=|workspace ?=)")


def look_at(words: Sequence[str], folder: str, files: Files, found: Found) -> None:
    """The words of a command that runs in the folder, from its verb on."""
    options = list(_options(words))
    named = [value for name, value in options if not name]
    if named[:1] == ["sync"]:
        options = [(name or REQUIREMENTS, value) for name, value in options if (name, value) != ("", "sync")]
    _follow(options, folder, files, found, "setup_command")


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Long names of options with their values. What is no option has an empty name."""
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith("--"):
            name, given, value = word.partition("=")
            name = name if name in KNOWN else next((known for known in KNOWN if known.startswith(name)), name)
            yield name, value if given or name not in WITH_VALUE else left.pop(0) if left else ""
        elif word.startswith("-") and len(word) > 1:
            yield from _short(word[1:], left)
        else:
            yield "", word


def _short(letters: str, left: list[str]) -> Iterator[tuple[str, str]]:
    """Options of one letter may stand in one word: `-qr requirements.txt`."""
    while letters:
        name, letters = SHORT.get(letters[0], f"-{letters[0]}"), letters[1:]
        if name in WITH_VALUE:
            yield name, letters or (left.pop(0) if left else "")
            return
        yield name, ""


def _follow(options: Sequence[tuple[str, str]], folder: str, files: Files, found: Found, where: str) -> None:
    """`where` names the place of the options, for a doubt."""
    named = [value for name, value in options if not name]
    for name, value in options:
        if name in FILES:
            _follow_file(value, folder, files, found, where)
        elif name == GROUP:
            _follow_file(value.rpartition(":")[0] or "pyproject.toml", folder, files, found, where)
        elif name == EDITABLE:
            found.doubts.append(f"{where} has the editable package {value}")
        elif name == LINKS and not URL.match(value):
            found.doubts.append(f"{where} installs from the folder {value}")
        elif name in ELSEWHERE:
            found.doubts.append(f"{where} has {name}, which installs elsewhere")
    found.doubts += [
        f"{where} has the local package {name}" for name in named if LOCAL.match(name) and not REMOTE.match(name)
    ]
    found.doubts += [f"{where} has {name}, which has no fixed commit" for name in named if UNPINNED.match(name)]
    given = {name for name, _ in options}
    if given & UPGRADES and (given & {*FILES, GROUP} or not set(named) - {"install"} <= INSTALLERS):
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
    if MANIFEST.fullmatch(name):
        if LOCAL_IN_MANIFEST.search(files.read(name)):
            found.doubts.append(f"{name} has local or editable packages")
        return
    for line in files.read(name).replace("\\\n", " ").splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        text = text.partition(";")[0].strip() if not text.startswith("-") else text
        if text:
            options = list(_options(_words(text))) if text.startswith("-") else [("", text.partition(" --")[0].strip())]
            _follow(options, posixpath.dirname(name), files, found, name)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
