"""What a setup command installs: which tool runs in which folder, and whether it does anything else."""

import posixpath
import re
import shlex
from typing import NamedTuple

SEPARATORS = {"&&", "||", ";"}
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
SUBSTITUTION = re.compile(r"[$`*?]|^~")
NAMING = re.compile(
    r"BUNDLE_GEMFILE|BUNDLE_PATH|PIP_(REQUIREMENTS?|CONSTRAINT|BUILD_CONSTRAINT|TARGET|PREFIX|EDITABLE)|PIPENV_PIPFILE"
    r"|UV_(PROJECT|WORKING_DIR\w*|PROJECT_ENVIRONMENT|\w*CONSTRAINT|OVERRIDE)|COMPOSER(_VENDOR_DIR)?|npm_config_prefix",
    re.IGNORECASE,
)
"""Variables that name other files or folders than those which are known. They begin with the name of their tool."""
OPERATOR = re.compile(r"[&|<>()]+")
HARMLESS = {"set", "true", ":", "mkdir", "export", "test", "[", "echo"}
TESTS = {"test", "["}
OF_TESTS = re.compile(r"!|\]|-[defhLnrswxz]|(\./)?(node_modules|\.?venv|vendor)(/.*)?")
"""Words of a test that depends on nothing but whether an install was there."""
PREPARES = re.compile(r"cd |corepack enable|(uv|\S*python[0-9.]*( -m)?) venv |bundle config ")
"""If it fails, what comes after it fails too."""
EXITS_ON_ERROR = re.compile(r"-[a-z]*e[a-z]*|errexit")

WITH_VALUE = {
    "--omit",
    "--include",
    "--registry",
    "--loglevel",
    "--reporter",
    "--cache",
    "--network-timeout",
    "--prefer",
    "--only",
    "--without",
    "--with",
    "--extra",
    "--group",
    "--index-url",
    "-i",
    "--extra-index-url",
    "--trusted-host",
    "--timeout",
    "--retries",
    "--python",
    "-p",
    "--path",
    "--jobs",
    "-j",
}
FOLDER_OPTIONS = {"--prefix", "-C", "--dir", "--cwd", "--directory", "--project", "--working-dir"}
ELSEWHERE = {"-g", "--global", "--filter", "-F", "-w", "--workspace", "--workspaces", "-r", "--recursive", "--target"}
"""They install into other folders than the one in which the tool runs."""


class Install(NamedTuple):
    """One installing program. `folder` is relative to the repository's top folder, and empty for that.

    `program` is what was written, such as `.venv/bin/pip`.
    """

    tool: str
    program: str
    folder: str
    words: tuple[str, ...]


class Parsed(NamedTuple):
    """`unknown` is the first part that does something else than to install; empty if there is none.

    `unchecked` is the first installing part that may fail although the whole command succeeds.
    """

    installs: tuple[Install, ...]
    unknown: str = ""
    unchecked: str = ""


class _Unknown(Exception):
    pass


def parse(command: str, root: str) -> Parsed:
    """`root` is the folder in which the command runs."""
    installs: list[Install] = []
    parts = _parts(command)
    unchecked = _unchecked(parts)
    folder = posixpath.normpath(root) if root else ""
    for _, words in parts:
        try:
            bare = _without_assignments(words)
            if bare[:1] == ["cd"] and len(bare) == 2:
                folder = inside(folder, bare[1])
            elif bare and bare[0] in HARMLESS:
                _check_harmless(bare)
            elif bare:
                installs.append(_install(bare, folder))
        except _Unknown:
            return Parsed(tuple(installs), " ".join(words), unchecked)
    return Parsed(tuple(installs), unchecked=unchecked)


def inside(folder: str, path: str) -> str:
    """A path relative to `folder`, as one relative to the repository's top folder. Raises for one outside of that."""
    joined = posixpath.normpath(posixpath.join(folder, path))
    if path.startswith(("/", "~")) or joined.startswith(".."):
        raise _Unknown
    return "" if joined == "." else joined


def is_inside(folder: str, path: str) -> bool:
    try:
        inside(folder, path)
    except _Unknown:
        return False
    return True


def _parts(command: str) -> list[tuple[str, list[str]]]:
    """The words of each simple command, with what separates it from the one before. One part if it can't be split."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="&|;<>()\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        tokens = list(lexer)
    except ValueError:
        return [("", [command])]
    parts: list[tuple[str, list[str]]] = [("", [])]
    for token in tokens:
        separator = token.strip("\n") or ";"
        if separator in SEPARATORS:
            parts.append((separator, []))
        else:
            parts[-1][1].append(token)
    return [(separator, words) for separator, words in parts if words]


def _unchecked(parts: list[tuple[str, list[str]]]) -> str:
    """An installing part whose failure the shell passes over, because of `|| true` or what follows."""
    exits, before = False, ""
    for separator, words in parts:
        name, *more = words
        is_passed_over = separator == ";" and not exits
        if before and (is_passed_over or (separator == "||" and name in HARMLESS)):
            return before
        before = "" if separator == ";" else before
        exits = exits or (name == "set" and any(map(EXITS_ON_ERROR.fullmatch, more)))
        if name not in HARMLESS and not PREPARES.match(" ".join(words)):
            before = " ".join(words)
    return ""


def _without_assignments(words: list[str]) -> list[str]:
    """Raises _Unknown if a value depends on something else."""
    while words and (ASSIGNMENT.fullmatch(words[0]) or words[0] in ("env", "exec", "command")):
        if SUBSTITUTION.search(words[0]) or NAMING.fullmatch(words[0].partition("=")[0]):
            raise _Unknown
        words = words[1:]
    return words


def _check_harmless(words: list[str]) -> None:
    """Raises _Unknown if the command writes a file, runs another one, or depends on something else."""
    name, *more = words
    if any(map(OPERATOR.fullmatch, more)):
        raise _Unknown
    if name == "export" and any(NAMING.fullmatch(word.partition("=")[0]) for word in more):
        raise _Unknown
    if name in TESTS:
        if not all(map(OF_TESTS.fullmatch, more)):
            raise _Unknown
    elif any("`" in word or "$(" in word or (name != "echo" and SUBSTITUTION.search(word)) for word in more):
        raise _Unknown


def _install(words: list[str], folder: str) -> Install:
    if any(SUBSTITUTION.search(word) or OPERATOR.fullmatch(word) or word.startswith("--gemfile") for word in words):
        raise _Unknown
    program, *rest = words
    tool = re.sub(r"[0-9.]+\Z", "", posixpath.basename(program))
    if tool == "corepack":
        if not rest or rest == ["enable"]:
            return Install("corepack", program, folder, ())
        return _install([rest[0].partition("@")[0], *rest[1:]], folder)
    if tool == "python" and rest[:1] == ["-m"] and len(rest) > 1:
        tool, rest = rest[1], rest[2:]
    if tool == "uv" and rest[:1] in (["pip"], ["venv"]):
        tool, rest = ("uv pip", rest[1:]) if rest[0] == "pip" else ("venv", rest[1:] or [".venv"])
    if tool not in VERBS:
        raise _Unknown
    options, named, folder = _options(tool, rest, folder)
    verb, *packages = named or [""]
    if tool not in ENVIRONMENTS and (verb not in VERBS[tool] or (packages and tool not in TAKES_NAMES)):
        raise _Unknown
    return Install(tool, program, folder, options)


VERBS: dict[str, tuple[str, ...]] = {
    "npm": ("ci", "clean-install", "install", "i"),
    "pnpm": ("install", "i"),
    "yarn": ("install", ""),
    "bun": ("install", "i"),
    "pip": ("install",),
    "uv pip": ("install", "sync"),
    "uv": ("sync",),
    "venv": (),
    "virtualenv": (),
    "poetry": ("install", "sync"),
    "pdm": ("install", "sync"),
    "pipenv": ("install", "sync"),
    "bundle": ("install", "config", ""),
    "composer": ("install", "i"),
}
"""By tool, the first words that only install what lock files and manifests name."""

ENVIRONMENTS = {"venv", "virtualenv"}
TAKES_NAMES = {"pip", "uv pip", "bundle"}
"""Their further words are looked at elsewhere, or name no package."""


def _options(tool: str, words: list[str], folder: str) -> tuple[tuple[str, ...], list[str], str]:
    """The words without those that name the folder, those of them that are no options, and that folder."""
    kept: list[str] = []
    named: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, _, value = word.partition("=")
        if name in FOLDER_OPTIONS and tool not in TAKES_NAMES:
            folder = inside(folder, value or (left.pop(0) if left else "."))
            continue
        if tool not in TAKES_NAMES and name in ELSEWHERE:
            raise _Unknown
        kept.append(word)
        if word in WITH_VALUE and left:
            kept.append(left.pop(0))
        elif not word.startswith("-"):
            named.append(word)
    return tuple(kept), named, folder
