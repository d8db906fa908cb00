"""What a setup command installs: which tool runs in which folder, and whether it does anything else."""

import posixpath
import re
import shlex
from typing import NamedTuple

SEPARATORS = {"&&", "||", ";", "\n"}
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
SUBSTITUTION = re.compile(r"[$`*?]")
HARMLESS = {"set", "true", ":", "mkdir", "export", "test", "[", "echo"}

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
    """`unknown` is the first part that does something else than to install; empty if there is none."""

    installs: tuple[Install, ...]
    unknown: str = ""


class _Unknown(Exception):
    pass


def parse(command: str, root: str) -> Parsed:
    """`root` is the folder in which the command runs."""
    installs: list[Install] = []
    folder = posixpath.normpath(root) if root else ""
    for words in _parts(command):
        try:
            if words[0] == "cd" and len(words) == 2:
                folder = inside(folder, words[1])
            elif words[0] not in HARMLESS:
                installs.append(_install(words, folder))
        except _Unknown:
            return Parsed(tuple(installs), " ".join(words))
    return Parsed(tuple(installs))


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


def _parts(command: str) -> list[list[str]]:
    """The words of each simple command. One that can't be taken apart is one part."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="&|;<>()\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:
        return [[command]]
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token.strip(";\n") == "" or token in SEPARATORS:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in map(_without_assignments, parts) if part]


def _without_assignments(words: list[str]) -> list[str]:
    while words and (ASSIGNMENT.fullmatch(words[0]) or words[0] in ("env", "exec", "command")):
        words = words[1:]
    return words


def _install(words: list[str], folder: str) -> Install:
    if any(SUBSTITUTION.search(word) or not word.strip("&|<>()") for word in words if word):
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
