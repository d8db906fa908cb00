"""A command for servers, and the words that each server gets."""

from collections.abc import Mapping
from typing import NamedTuple

from slot_machine.core.hosts import Server

Options = Mapping[str, object]
"""By the names of the parameters, as they were written: nothing is converted. Only those that were given."""


class Call(NamedTuple):
    """`words` are the options and arguments. `parts` are the commands, such as `env` and `set`."""

    parts: tuple[str, ...]
    words: tuple[str, ...]
    options: Options
    servers: tuple[Server, ...]

    @property
    def name(self) -> str:
        return self.parts[0]

    def flag(self, name: str) -> bool:
        return bool(self.options.get(name))

    def text(self, name: str) -> str:
        value = self.options.get(name)
        return value if isinstance(value, str) else ""

    def on(self, server: Server) -> tuple[str, ...]:
        return spoken(server, *self.parts, *self.words)


def spoken(server: Server, *words: str) -> tuple[str, ...]:
    """The words of a command of slot-machine on that server."""
    return (server.program, *(("-a", server.app) if server.app else ()), *words)
