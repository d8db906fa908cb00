"""Deploys whose setups are counted, and data folders of earlier releases."""

import sqlite3
from contextlib import closing

from tests.database import TO_SCHEMA_5
from tests.world import Site

COUNT = "echo x >> {counter}; pwd > ignored; test ! -e setup.sh || sh setup.sh"


class Setups:
    def __init__(self, site: Site) -> None:
        self._counter = site.folder / "setups"
        self.command = COUNT.format(counter=self._counter)

    def count(self) -> int:
        return self._counter.read_text().count("x")


def deploy(site: Site, *versions: str) -> list[str]:
    """Returns the commits."""
    commits = []
    for version in versions:
        commits.append(site.commit(version, {"setup.sh": ""}))
        assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    return commits


def rolls_back_at_once(site: Site, setups: Setups, version: str) -> None:
    assert site.status()["previous_ready"] is True
    before = setups.count()
    reply = site.post("/rollback")
    assert (reply.status, site.serving(), setups.count()) == (200, version, before), reply


SCHEMA_3 = """
CREATE TABLE slots (name TEXT PRIMARY KEY, commit_hash TEXT NOT NULL, fingerprint TEXT NOT NULL) STRICT;
INSERT INTO slots SELECT substr('ab', number, 1), commit_hash, fingerprint FROM trees;
DROP TABLE trees;
DROP TABLE made;
DROP TABLE sizes;
CREATE TABLE sizes (slot TEXT PRIMARY KEY, bytes INTEGER NOT NULL, inodes INTEGER NOT NULL) STRICT;
INSERT INTO sizes VALUES ('a', 4096, 2);
ALTER TABLE state DROP COLUMN live_tree;
ALTER TABLE state DROP COLUMN previous_tree;
ALTER TABLE attempts RENAME COLUMN trigger TO origin;
ALTER TABLE processes DROP COLUMN release_id;
ALTER TABLE processes DROP COLUMN run;
UPDATE processes SET running = json_remove(running, '$.version.tree') WHERE running <> 'null';
PRAGMA user_version = 3;
"""


def as_before_trees(site: Site) -> None:
    """Makes the data folder, of a daemon that was killed, what the release before the trees left behind."""
    registrations = site.repo / ".git" / "worktrees"
    for slot, tree in {"slot-a": "tree-1", "slot-b": "tree-2"}.items():
        (site.data / slot).unlink()
        (site.data / tree).rename(site.data / slot)
        (registrations / tree).rename(registrations / slot)
        (registrations / slot / "gitdir").write_text(f"{site.data / slot / '.git'}\n")
        (site.data / slot / ".git").write_text(f"gitdir: {registrations / slot}\n")
    (site.data / "state.db.seal").unlink()
    with closing(sqlite3.connect(site.data / "state.db")) as db:
        db.executescript(TO_SCHEMA_5 + SCHEMA_3)
