"""Commands that somebody runs in a version's tree by `slot-machine run`.

The client starts the command, in the caller's terminal. The daemon says in which folder, environment and with whose
rights, and remembers which tree is in use: until the command has ended, no deploy overwrites that tree.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from slot_machine.app.failures import going_on
from slot_machine.app.release import describe
from slot_machine.app.seams import Starter
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Supervisor
from slot_machine.core.errors import BadRequest, NothingLive
from slot_machine.core.model import WEB, Version, rfc3339
from slot_machine.core.phases import Phase
from slot_machine.core.side_runs import side_runs
from slot_machine.host.process import containment, proc
from slot_machine.host.process.containment import MARK
from slot_machine.state.one_offs import OneOff
from slot_machine.state.store import Store


class Wish(NamedTuple):
    """`process` is the name of the process whose variables the command gets; empty for those of all processes."""

    program: str
    process: str = ""
    previous: bool = False


class Surroundings(NamedTuple):
    version: Version
    folder: Path
    environment: dict[str, str]


class OneOffs:
    def __init__(self, store: Store, slots: Slots, launcher: Starter, supervisor: Supervisor, data: Path) -> None:
        self._store = store
        self._slots = slots
        self._launcher = launcher
        self._supervisor = supervisor
        self._owner = containment.owner(data)

    def begin(self, pid: int, wish: Wish) -> Surroundings:
        """From here on, the tree is kept from being overwritten, until the client `pid` and its command have ended.

        Raises NothingLive, BadRequest, StageFailed, sqlite3.Error, and ProcessLookupError if the client is gone.
        """
        version = self._version(previous=wish.previous)
        mark = containment.new_mark(self._owner)
        env = {**self._environment(version, wish.process), MARK: mark}
        started_at = rfc3339(datetime.now(UTC))
        self._store.save_one_off(OneOff(proc.identify(pid, mark), version, wish.program, started_at))
        return Surroundings(version, self._slots.folder(version), env)

    def running(self) -> list[OneOff]:
        """Forgets those that have ended. Raises sqlite3.Error."""
        known = self._store.one_offs()
        running = [one_off for one_off in known if _runs(one_off)]
        for one_off in known:
            if one_off not in running:
                with going_on("cannot forget a command that has ended"):
                    self._store.forget_one_off(one_off)
        return running

    def in_tree(self, tree: int) -> list[str]:
        """In words. Raises sqlite3.Error."""
        return [in_words(one_off) for one_off in self.running() if one_off.version.tree == tree]

    def _version(self, *, previous: bool) -> Version:
        state = self._store.state()
        version = state.previous if previous else state.live
        if not version:
            what = "there is no previous version" if previous else "nothing is live"
            raise NothingLive(f"{what}, so there is no folder to run a command in", "deploy a version first")
        if not self._slots.holds(version):
            hint = "`slot-machine rollback` prepares it again" if previous else "deploy it again"
            raise NothingLive(f"the tree of {describe(version)} does not hold it any more", hint)
        return version

    def _environment(self, version: Version, process: str) -> dict[str, str]:
        ports: dict[str, int] = {}
        variables: dict[str, str] = {}
        if process == WEB:
            release = self._supervisor.release
            if release and release.version == version and self._supervisor.running:
                ports = {"PORT": release.web.port, "INTERNAL_PORT": release.web.internal_port}
        elif process:
            found = next((side for side in side_runs(version.config) if side.name == process), None)
            if not found:
                names = ", ".join((WEB, *version.config.workers))
                raise BadRequest(f"{describe(version)} has no process {process!r}", f"it has: {names}")
            variables = found.variables
        return {**self._launcher.environment(version, Phase.START, ports), **variables}


def in_words(one_off: OneOff) -> str:
    return f"`slot-machine run {one_off.program}` (pid {one_off.identity.pid}) in {describe(one_off.version)}"


def _runs(one_off: OneOff) -> bool:
    """Whether the client may run, or something that its command has started."""
    return not proc.is_gone(one_off.identity) or bool(containment.descendants(None, one_off.identity, {}))
