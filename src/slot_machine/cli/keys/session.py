"""What somebody with a key of `keys add` may do over ssh: push, and a few commands with some of their options.

sshd passes what the client asked for as SSH_ORIGINAL_COMMAND. No shell sees it: it is taken apart here, only what is
listed here passes, and it is put together anew.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from slot_machine.cli.push.receive import BY_VARIABLE
from slot_machine.core.errors import ConfigError
from slot_machine.host.process import python

LONGEST = 8192

KEPT = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "SSH_CONNECTION", "TERM", "TZ", "USER", "XDG_RUNTIME_DIR")
"""Of the environment, with `LC_*`. The client may have set others, such as GIT_CONFIG_COUNT."""


class Verb(NamedTuple):
    """Options by their long names, with the short one; `operands` is how many others are allowed."""

    flags: dict[str, str]
    values: dict[str, str]
    operands: int = 0
    by: bool = False
    """Whether the history has who asks."""


BY = "--by"
"""Allowed, as `--host` sends it, and replaced by the name of the key."""
ATTEMPT_FLAGS = {"--json": "", "--stream": "", "--quiet": "-q"}
VERBS = {
    "deploy": Verb(
        {"--setup": "", "--force": "", "--wait": "", "--detach": "", "--if-known": "", **ATTEMPT_FLAGS},
        {"--message": "-m", "--ref": "", BY: ""},
        operands=1,
        by=True,
    ),
    "rollback": Verb(ATTEMPT_FLAGS, {"--message": "-m", BY: ""}, operands=1, by=True),
    "status": Verb({"--json": ""}, {}),
    "logs": Verb(
        {"--follow": "-f", "--setup": "", "--json": ""},
        {"--lines": "-n", "--since": "", "--process": "", "--slot": "", "--attempt": ""},
    ),
}
MAY = f"this key may push, and run: {', '.join(f'slot-machine {verb}' for verb in VERBS)}"


class Session(NamedTuple):
    """`name` is whose key it is. `config` is the daemon's file, `app` its name, `repo` its repository."""

    name: str
    config: Path
    app: str
    repo: Path


def run(session: Session, asked: str) -> NoReturn:
    """Becomes what was asked for. Raises ConfigError."""
    argv = command(session, asked)
    env = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("LC_")}
    os.chdir(session.config.parent)
    sys.stdout.flush()
    os.execvpe(argv[0], argv, env | {BY_VARIABLE: session.name})


def command(session: Session, asked: str) -> list[str]:
    """What is run instead of what was asked for. Raises ConfigError for what is not allowed."""
    words = _words(asked)
    if words[0] == "git" and words[1:2] == ["receive-pack"]:
        words = ["git-receive-pack", *words[2:]]
    if words[0] == "git-receive-pack":
        return _receive_pack(session, words[1:])
    if words[0] in ("git-upload-pack", "git-upload-archive", "git"):
        raise ConfigError("this key may push, but not fetch or clone", MAY)
    is_ours = os.path.basename(words[0]) == "slot-machine"
    words = _without_app(session, words[1:] if is_ours else words)
    if not words or words[0] not in VERBS:
        raise ConfigError(f"not allowed: {words[0] if words else 'slot-machine'!r}", MAY)
    verb = VERBS[words[0]]
    options, operands = _taken_apart(_without_app(session, words[1:]), words[0], verb)
    by = [f"{BY}={session.name}"] if verb.by else []
    return python.module("slot_machine", words[0], "--app", str(session.config), *options, *by, "--", *operands)


def _words(asked: str) -> list[str]:
    if len(asked) > LONGEST:
        raise ConfigError(f"the command has more than {LONGEST} characters", MAY)
    try:
        words = shlex.split(asked)
    except ValueError as error:
        raise ConfigError(f"the command can't be read: {error}", MAY) from None
    if not words:
        raise ConfigError("nothing was asked for", MAY)
    if "\0" in asked:
        raise ConfigError("the command has a NUL", MAY)
    return words


def _receive_pack(session: Session, operands: Sequence[str]) -> list[str]:
    if len(operands) != 1:
        raise ConfigError("git receive-pack has one operand", MAY)
    path = operands[0].removeprefix("/~/").removeprefix("~/")
    asked = os.path.realpath(os.path.join(os.path.expanduser("~"), path))
    if asked not in (os.path.realpath(session.repo), os.path.realpath(session.repo / ".git")):
        raise ConfigError(
            f"this key is for {session.repo}, not for {operands[0]!r}", "correct the address of the remote"
        )
    return ["git", "receive-pack", os.path.realpath(session.repo)]


def _without_app(session: Session, words: Sequence[str]) -> list[str]:
    """Without `-a NAME` in front of or after the command, if it names the app that the key is for."""
    left = list(words)
    if left[:1] in (["-a"], ["--app"]):
        if left[1:2] != [session.app]:
            raise ConfigError(f"this key is for the app {session.app}", f"leave out {left[0]}, or name that one")
        left = left[2:]
    return left


def _taken_apart(words: Sequence[str], name: str, verb: Verb) -> tuple[list[str], list[str]]:
    """Options, each in one word, and operands."""
    flags = {spelling: flag for flag, short in verb.flags.items() for spelling in (flag, short) if spelling}
    values = {spelling: option for option, short in verb.values.items() for spelling in (option, short) if spelling}
    options, operands, left = list[str](), list[str](), list(words)
    while left:
        word = left.pop(0)
        option, has_value, value = word.partition("=")
        if word == "--":
            operands += left
            break
        if word in flags:
            options.append(flags[word])
        elif option in values and (has_value or left):
            value = value if has_value else left.pop(0)
            options += [f"{values[option]}={value}"] * (option != BY)
        elif word.startswith("-"):
            raise ConfigError(f"{name}: the option {word!r} is not allowed over this key", MAY)
        else:
            operands.append(word)
    if len(operands) > verb.operands or any(operand.startswith("-") for operand in operands):
        raise ConfigError(f"{name}: not allowed: {shlex.join(operands)}", MAY)
    return options, operands
