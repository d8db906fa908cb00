"""What engines leave out or refuse in the same way, whichever it is. Pure."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from slot_machine.engines.shape import App

DATABASE = re.compile(r"sqlite|\.db\b", re.IGNORECASE)
"""In a command or the name of a folder: a SQLite file is there."""
DATABASE_FILE = re.compile(r"\.sqlite3?\b")
DATABASE_URL = ("sqlite:", "sqlite3:")


def left_out(app: App, of_version: Mapping[str, str], of_daemon: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The fields among those that the app sets, each with what its absence means."""
    for owner, fields in ((app.version, of_version), (app.daemon, of_daemon)):
        default = {field.name: field.default for field in msgspec.structs.fields(owner)}
        for field, meaning in fields.items():
            if getattr(owner, field) and getattr(owner, field) != default[field]:
                yield field, meaning


def leads_to_sqlite(variables: Mapping[str, str]) -> str:
    """The name of the first variable whose value is the address or the path of a SQLite file; empty if none is."""
    for name, value in variables.items():
        if value.startswith(DATABASE_URL) or DATABASE_FILE.search(value):
            return name
    return ""
