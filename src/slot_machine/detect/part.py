"""What a detector says of a project, and what all of them come to together."""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from slot_machine.core.version_config import Process


class Rank(IntEnum):
    """How much a start command is worth, if there are several. The lowest wins."""

    PROCFILE = 0
    BACKEND = 1
    """A framework that serves the whole site, such as Django or Rails."""
    SCRIPT = 2
    """The manifest's own, such as `scripts.start`."""
    APP = 3
    """An app that was found in the sources."""
    GUESS = 4
    STATIC = 5
    NONE = 6


class Recognised(NamedTuple):
    what: str
    file: str


class Part(NamedTuple):
    """Commands are empty if there is none. `look` is what only a person can tell; `start_look` is about `start` alone.

    `reads_port`: the start command passes `$PORT` on, or something that it starts is known to read it.
    """

    recognised: tuple[Recognised, ...]
    setup: str = ""
    build: str = ""
    release: str = ""
    start: str = ""
    rank: Rank = Rank.NONE
    processes: Mapping[str, str | Process] = {}
    health: str = ""
    health_host: str = ""
    shared_dirs: tuple[str, ...] = ()
    shared_files: tuple[str, ...] = ()
    asset_dirs: tuple[str, ...] = ()
    guessed: tuple[str, ...] = ()
    look: tuple[str, ...] = ()
    start_look: tuple[str, ...] = ()
    reads_port: bool = True
    looks_up: bool = False
    """The tools look for files in the folders above the slot."""


def chained(commands: Iterable[str]) -> str:
    """One command line that stops at the first failure. No command is in it twice."""
    return " && ".join(dict.fromkeys(command for command in commands if command))
