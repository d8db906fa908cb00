"""What is live, what each tree holds, and which processes were started: the queries."""

import logging
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from slot_machine.core.candidate import Candidate
from slot_machine.core.model import NOT_CONFIGURED, SLOTS, Contents, Made, Running, State, Version
from slot_machine.core.shared_paths import SharedPath
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.files.capacity import Size
from slot_machine.host.process.proc import Identity
from slot_machine.state.candidates import Candidates
from slot_machine.state.database import twice_on_a_full_disk
from slot_machine.state.history import History
from slot_machine.state.maintenance import Maintenances
from slot_machine.state.one_offs import OneOffs
from slot_machine.state.outputs import Outputs
from slot_machine.state.restarts import Restarts
from slot_machine.state.schema import STATE_COLUMNS
from slot_machine.state.setups import Setups

log = logging.getLogger(__name__)

Role = Literal["app", "setup", "build", "release", "other"]


class Recorded(NamedTuple):
    """A process that a daemon started. A run of the app has a release, a name in it, and what `running` says."""

    identity: Identity
    role: Role
    release_id: int
    run: str
    running: Running | None


class Store(History, Outputs, Restarts, Setups, OneOffs, Maintenances, Candidates):
    """Each method is one transaction, on disk when it returns unless it says otherwise.

    Raises sqlite3.Error when the disk refuses.
    """

    def state(self) -> State:
        row = self._db.execute(f"SELECT {STATE_COLUMNS} FROM state").fetchone()
        time, live_config, previous_config = row[6:]
        return State(_version(row[:3], live_config), _version(row[3:6], previous_config), time)

    @twice_on_a_full_disk
    def save_state(self, state: State, candidate: Candidate | None = None) -> None:
        """`candidate` is in place of a watched one, or of one that is live by this."""
        with self._sealed():
            self._db.execute(
                f"UPDATE state SET ({STATE_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *_columns(state.live),
                    *_columns(state.previous),
                    state.last_deploy_time,
                    _config(state.live),
                    _config(state.previous),
                ),
            )
            self._promote_live_candidate()
            self._replace_watched(candidate)
            prepared = "SELECT tree FROM made, state WHERE begun_ns AND tree IN (live_tree, previous_tree)"
            # Their sizes were measured when a failed deploy, or an earlier version, had filled them.
            self._db.execute(f"DELETE FROM sizes WHERE tree IN ({prepared})")
            self._db.execute(f"UPDATE made SET begun_ns = 0 WHERE tree IN ({prepared})")

    @twice_on_a_full_disk
    def fill_configs(self, config: VersionConfig) -> None:
        """Gives versions that an earlier release has deployed the configuration that it would have used."""
        text = msgspec.json.encode(config).decode()
        for name in ("live", "previous"):
            lacking = f"{name}_slot <> '' AND {name}_config = ''"
            if self._db.execute(f"SELECT 1 FROM state WHERE {lacking}").fetchone():
                with self._sealed():
                    self._db.execute(f"UPDATE state SET {name}_config = ? WHERE {lacking}", (text,))
        self._db.execute(
            "UPDATE processes SET running = json_set(running, '$.version.config', json(?))"
            " WHERE running <> 'null' AND json_extract(running, '$.version.config') IS NULL",
            (text,),
        )

    def contents(self, tree: int) -> Contents | None:
        """None while the tree is empty or half prepared."""
        row = self._db.execute("SELECT commit_hash, fingerprint FROM trees WHERE number = ?", (tree,)).fetchone()
        return Contents(*row) if row else None

    @twice_on_a_full_disk
    def save_contents(self, tree: int, contents: Contents | None) -> None:
        with self._sealed():
            if contents is None:
                self._db.execute("DELETE FROM trees WHERE number = ?", (tree,))
            else:
                self._db.execute("REPLACE INTO trees VALUES (?, ?, ?)", (tree, contents.commit, contents.fingerprint))

    @twice_on_a_full_disk
    def begin_tree(self, tree: int, begun_ns: int) -> None:
        """Says that the tree holds nothing, because a deploy begins to write into it at `begun_ns`.

        After a failed deploy the earlier `begun_ns` stays, until a version in this tree is live.
        """
        with self._sealed():
            self._db.execute("DELETE FROM trees WHERE number = ?", (tree,))
            self._db.execute(
                "INSERT INTO made (tree, begun_ns) VALUES (?, ?)"
                " ON CONFLICT (tree) DO UPDATE SET begun_ns = ifnull(nullif(begun_ns, 0), excluded.begun_ns)",
                (tree, begun_ns),
            )

    def begun_ns(self, tree: int) -> int:
        """In ns since the epoch; 0 if no deploy has written into the tree since a version in it was live."""
        row = self._db.execute("SELECT begun_ns FROM made WHERE tree = ?", (tree,)).fetchone()
        return int(row[0]) if row else 0

    def made(self, tree: int) -> Made | None:
        """The files that the latest setup left in the tree; None if they are unknown."""
        row = self._db.execute("SELECT files FROM made WHERE tree = ?", (tree,)).fetchone()
        return msgspec.msgpack.decode(zlib.decompress(row[0]), type=Made) if row and row[0] else None

    @twice_on_a_full_disk
    def save_made(self, tree: int, made: Made) -> None:
        self._db.execute(
            "INSERT INTO made (tree, files) VALUES (?, ?) ON CONFLICT (tree) DO UPDATE SET files = excluded.files",
            (tree, zlib.compress(msgspec.msgpack.encode(made))),
        )

    def shared_paths(self, tree: int) -> tuple[SharedPath, ...]:
        """The paths at which the tree has, or may have, links to shared data."""
        row = self._db.execute("SELECT paths FROM shared WHERE tree = ?", (tree,)).fetchone()
        return msgspec.json.decode(row[0], type=tuple[SharedPath, ...]) if row else ()

    @twice_on_a_full_disk
    def save_shared_paths(self, tree: int, paths: Sequence[SharedPath]) -> None:
        self._db.execute("REPLACE INTO shared VALUES (?, ?)", (tree, msgspec.json.encode(paths).decode()))

    def assets(self, tree: int) -> dict[bytes, tuple[int, int]]:
        """The files in the tree that other versions brought: by name, as in `Made`."""
        row = self._db.execute("SELECT files FROM assets WHERE tree = ?", (tree,)).fetchone()
        return msgspec.msgpack.decode(zlib.decompress(row[0]), type=dict[bytes, tuple[int, int]]) if row else {}

    @twice_on_a_full_disk
    def save_assets(self, tree: int, files: Mapping[bytes, tuple[int, int]]) -> None:
        self._db.execute("REPLACE INTO assets VALUES (?, ?)", (tree, zlib.compress(msgspec.msgpack.encode(files))))

    def size(self, tree: int) -> Size | None:
        """The space that the tree took when it was last prepared; None if that was not measured."""
        row = self._db.execute("SELECT bytes, inodes FROM sizes WHERE tree = ?", (tree,)).fetchone()
        return Size(*row) if row else None

    @twice_on_a_full_disk
    def save_size(self, tree: int, size: Size | None) -> None:
        if size is None:
            self._db.execute("DELETE FROM sizes WHERE tree = ?", (tree,))
        else:
            self._db.execute("REPLACE INTO sizes VALUES (?, ?, ?)", (tree, size.bytes, size.inodes))

    def processes(self) -> list[Recorded]:
        """The latest start first."""
        rows = self._db.execute(
            "SELECT pid, start_ticks, boot_id, mark, cgroup, role, release_id, run, running FROM processes"
            " ORDER BY start_ticks DESC"
        )
        return [
            Recorded(Identity(*identity), role, release_id, run, msgspec.json.decode(running, type=Running | None))
            for *identity, role, release_id, run, running in rows
        ]

    @twice_on_a_full_disk
    def save_process(
        self, identity: Identity, role: Role, release_id: int = 0, run: str = "", running: Running | None = None
    ) -> None:
        """The last three are for a run of the app."""
        self._db.execute(
            "REPLACE INTO processes (pid, start_ticks, boot_id, mark, cgroup, role, release_id, run, running)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*msgspec.structs.astuple(identity), role, release_id, run, msgspec.json.encode(running).decode()),
        )

    def remove_process(self, identity: Identity) -> None:
        """Raises nothing. A row that stays does no harm: the next daemon sees that the process is gone."""
        try:
            self._db.execute(
                "DELETE FROM processes WHERE (pid, start_ticks, boot_id) = (?, ?, ?)",
                (identity.pid, identity.start_ticks, identity.boot_id),
            )
        except sqlite3.Error as error:
            log.error("cannot write the database: %s", error)

    def forget_processes(self) -> None:
        self._db.execute("DELETE FROM processes")


def _version(columns: tuple[str, str, int], config: str) -> Version | None:
    slot, commit, tree = columns
    found = [name for name in SLOTS if name == slot]
    known = msgspec.json.decode(config, type=VersionConfig) if config else NOT_CONFIGURED
    return Version(found[0], commit, tree, known) if found else None


def _columns(version: Version | None) -> tuple[str, str, int]:
    return (version.slot, version.commit, version.tree) if version else ("", "", 0)


def _config(version: Version | None) -> str:
    return msgspec.json.encode(version.config).decode() if version and version.config != NOT_CONFIGURED else ""
