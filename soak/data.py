"""Checks the shared data: each write that was acknowledged must be there."""

import sqlite3
from contextlib import closing

from tests.world import Site

from soak.app import digest, upload, written


def lost(site: Site, acknowledged: list[int]) -> list[str]:
    shared = site.data / "shared"
    with closing(sqlite3.connect(shared / "data" / "app.db")) as db:
        rows = dict(db.execute("SELECT number, digest FROM writes"))
        damaged = [str(row) for (row,) in db.execute("PRAGMA integrity_check") if row != "ok"]
    uploads = {path.name: path.read_bytes() for path in (shared / "uploads").iterdir()}
    in_database = [number for number in acknowledged if rows.get(number) != digest(number)]
    in_uploads = [number for number in acknowledged if written(number) not in uploads.get(upload(number).name, b"")]
    lacking = {"database": in_database, "uploads": in_uploads}
    found = [
        f"writes that are lost, {where}: {len(lost)}, such as {lost[:5]}" for where, lost in lacking.items() if lost
    ]
    return found + [f"the database is damaged: {what}" for what in damaged]
