"""Makes a new database from the slots and links on disk, if the old one is damaged or missing."""

import logging
from datetime import UTC, datetime
from pathlib import Path

from slot_machine.core.errors import StartRefused, StateDamaged
from slot_machine.core.model import SLOTS, Contents, State, Version, rfc3339, short
from slot_machine.host.git import trees
from slot_machine.host.git.worktrees import Worktrees
from slot_machine.state import seal
from slot_machine.state.soundness import open_sound, parts
from slot_machine.state.store import Store

log = logging.getLogger(__name__)


async def rebuild(path: Path, worktrees: Worktrees) -> None:
    """Raises StartRefused if the database is sound or the links do not tell what is live, and OSError."""
    try:
        open_sound(path).close()
    except StateDamaged as damage:
        log.warning("%s", damage)
    else:
        raise StartRefused(f"the database {path} is sound, so nothing was rebuilt", "start without --rebuild-state")
    await worktrees.adopt_slots()
    live = await _linked(worktrees, "live")
    previous = await _linked(worktrees, "previous") if live else None
    fresh = path.with_name(f"{path.name}.new")
    for part in parts(fresh):
        part.unlink()
    store = Store.open(fresh)
    try:
        for version in filter(None, (live, previous)):
            await _trust(store, worktrees, version)
        store.save_state(State(live, previous, _last_switch(worktrees) if live else ""))
    finally:
        store.close()
    _set_aside(path)
    seal.path_of(fresh).rename(seal.path_of(path))
    fresh.rename(path)
    log.warning("rebuilt the state: live is %s, previous is %s", _in_words(live), _in_words(previous))


async def _linked(worktrees: Worktrees, name: str) -> Version | None:
    link = worktrees.data / name
    if not link.is_symlink():
        return None
    target = link.readlink().name
    for slot in SLOTS:
        tree = trees.of_slot(worktrees.data, slot)
        if target == trees.slot_name(slot) and tree and (commit := await worktrees.head(tree)):
            return Version(slot, commit, tree)
    hint = f"let it point to slot-a or slot-b, or remove it if there is no {name} version"
    raise StartRefused(f"the link {link} leads to {target}, where no commit is checked out", hint)


async def _trust(store: Store, worktrees: Worktrees, version: Version) -> None:
    """Saves that the tree is complete, unless tracked files differ: then the next use prepares it again."""
    if await worktrees.fingerprint(version.tree) == "":
        store.save_contents(version.tree, Contents(version.commit, ""))


def _last_switch(worktrees: Worktrees) -> str:
    return rfc3339(datetime.fromtimestamp((worktrees.data / "live").lstat().st_mtime, UTC))


def _set_aside(path: Path) -> None:
    damaged = f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for part in parts(path):
        part.rename(part.with_name(part.name.replace(path.name, damaged, 1)))
    log.warning("the old database is kept as %s", path.with_name(damaged))


def _in_words(version: Version | None) -> str:
    return f"{short(version.commit)} in slot {version.slot}" if version else "nothing"
