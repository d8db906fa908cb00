"""What engines leave out or refuse in the same way, whichever it is. Pure."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from slot_machine.engines.shape import App

NO_SHARES = "a version can't get a share of the visitors"

OF_VERSION = {
    "asset_dirs": "copies of the new version alone have its assets; keep them in a store that all versions reach",
    "rehearse": "no copy is asked for pages before it gets requests",
    "share_cookie": NO_SHARES,
    "share_cookie_values": NO_SHARES,
    "watch_ms": "no version is taken back after the deploy; `slot-machine rollback` does that",
}
"""Fields of a version that no engine has, and what their absence means."""

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
