"""Takes shell commands apart, as far as they are simple."""

import re
from typing import NamedTuple

from slot_machine.detect.words import word_set

WORD = r"""(?:[^\s'"\\&|;()<>`]|'[^']*'|"(?:[^"\\`]|\\.)*"|\\.)+"""
TOKEN = re.compile(rf"\s*(?:(?P<word>{WORD})|(?P<then>&&|;))")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
BUILTINS = word_set("cd echo export exec set test [ mkdir cp rm mv ln sleep true cat env find touch chmod")

PORT_FLAG = re.compile(
    r"(?P<flag>(?<!\S)(?:-p|-l|--port|--listen|--http-port|--server\.port)[ =])"
    r"(?P<host>(?:[A-Za-z][\w.-]*|\d+\.[\d.]+)?:)?\d{2,5}(?!\S)"
)
BIND_FLAG = re.compile(
    r"(?P<flag>(?<!\S)(?:-b|--bind|--listen|--addr)[ =])(?P<host>(?:tcp://)?[\w.\[\]]*:)\d{2,5}(?!\S)"
)


BUILDS = re.compile(
    r"\b(build|compile|tsc|webpack|rollup|esbuild|swc|babel|gulp|grunt|tailwindcss|postcss|sass|prisma generate|vue-tsc"
    r"|copyfiles|rimraf|generate|collectstatic|compilemessages|assets:precompile)\b"
)
RELEASES = re.compile(r"migrat|\bdb:(push|deploy)\b|\bprisma db\b|\bdb upgrade\b|\balembic upgrade\b")
"""Commands that change the database."""


class Simple(NamedTuple):
    """A command without operators. The words are as they were written, with their quotes."""

    env: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0] if self.words else ""

    def __str__(self) -> str:
        return " ".join((*self.env, *self.words))


def chain(command: str, operators: tuple[str, ...] = ("&&",)) -> list[Simple]:
    """The parts of `a && b && c`. Empty if it has other operators, or is none."""
    parts: list[list[str]] = [[]]
    position = 0
    text = command.strip()
    while position < len(text):
        found = TOKEN.match(text, position)
        if not found or found["then"] not in (None, *operators):
            return []
        if found["then"]:
            parts.append([])
        else:
            parts[-1].append(found["word"])
        position = found.end()
    return [_simple(words) for words in parts] if all(parts) else []


class Steps(NamedTuple):
    """What a command builds and releases before it starts the app."""

    build: tuple[str, ...]
    release: tuple[str, ...]
    start: str


def steps(command: str) -> Steps:
    """Of a chain, also of `a; b`, if all that comes before the start builds or releases; else all is the start."""
    parts = [str(part) for part in chain(command, ("&&", ";"))]
    *before, start = parts or [command]
    release = tuple(part for part in before if RELEASES.search(part))
    build = tuple(part for part in before if part not in release and BUILDS.search(part))
    if len(release) + len(build) < len(before):
        return Steps((), (), command)
    return Steps(build, release, start)


def builds_alike(step: str, command: str) -> bool:
    """Whether a command builds what a step builds, such as with `collectstatic`."""
    found = BUILDS.search(step)
    return found is not None and found[0] in command


def only(command: str) -> Simple | None:
    """The command if it is simple."""
    parts = chain(command)
    return parts[0] if len(parts) == 1 and parts[0].words else None


def with_port(command: str) -> str:
    """With `$PORT` in place of a port that is written into a flag or an assignment."""
    command = re.sub(r"(?<!\S)PORT=\d+\s+", "", command)
    command = BIND_FLAG.sub(r"\g<flag>\g<host>$PORT", command)
    return PORT_FLAG.sub(lambda found: f"{found['flag']}{found['host'] or ''}$PORT", command)


def _simple(words: list[str]) -> Simple:
    count = next((index for index, word in enumerate(words) if not ASSIGNMENT.match(word)), len(words))
    return Simple(tuple(words[:count]), tuple(words[count:]))
