"""Finds daemons in the registry. If several may be meant, they are listed and nothing is done."""

import os
from collections.abc import Iterable, Sequence

from slot_machine.cli.client import Client
from slot_machine.core.errors import ConfigError
from slot_machine.host import registry
from slot_machine.host.registry import Entry
from slot_machine.host.user import account

OTHERS = "`slot-machine list` shows those that you may use; others may run under other users"


def client(entry: Entry, answer_s: float | None = None) -> Client:
    return Client(entry.api_port, entry.data, name=entry.name, uid=entry.uid, answer_s=answer_s)


def called(app: str) -> Entry:
    """The daemon of the app with that name, or of that folder. Raises ConfigError."""
    running = registry.running()
    found = [entry for entry in running if entry.name == app]
    if not found and os.sep in app:
        path = os.path.realpath(app)
        found = [entry for entry in running if path in _paths(entry)]
    if not found:
        missing = f"no daemon runs for {app}" if os.sep in app else f"no running daemon is called {app}"
        names = ", ".join(dict.fromkeys(entry.name for entry in running))
        raise ConfigError(f"{missing}{names and f'; there are: {names}'}", OTHERS)
    return _only(found, f"several daemons are called {app}")


def with_files(data: str, config: str) -> Entry | None:
    """The daemon on that data folder, or else the one that was started with that configuration. Raises ConfigError."""
    running = registry.running()
    data = os.path.realpath(data)
    if found := [entry for entry in running if entry.data == data]:
        return found[0]
    found = [entry for entry in running if config in entry.files and _may_claim(entry, config)]
    return _only(found, f"several daemons have {config}") if found else None


def around(folder: str) -> Entry | None:
    """The daemon whose repository has that folder; outside of repositories, the only one. Raises ConfigError."""
    running, folder = registry.running(), os.path.realpath(folder)
    if not running:
        return None
    mine = [entry for entry in running if f"{folder}/".startswith(f"{entry.repo}/") and _may_claim(entry, entry.repo)]
    if repositories := [entry.repo for entry in mine]:
        nearest = max(repositories, key=len)
        return _only([entry for entry in mine if entry.repo == nearest], f"several daemons have {nearest}")
    if top := _repository(folder):
        raise ConfigError(
            f"no running daemon has the repository {top}, so nothing was done{_listed(running)}",
            "start one here, go to the folder of the app's slot-machine.json, or name the app with -a",
        )
    return _only(running, "there is no slot-machine.json here, and several daemons run")


def _may_claim(entry: Entry, path: str) -> bool:
    """Root sees entries of all users, and any user can write into one that its daemon has the path of another user."""
    try:
        return entry.uid == os.geteuid() or os.stat(path).st_uid == entry.uid
    except OSError:
        return False


def _only(found: Sequence[Entry], several: str) -> Entry:
    if len(found) > 1:
        raise ConfigError(
            f"{several}, so nothing was done{_listed(found)}",
            f"name the one that you mean by its folder, such as `-a {found[0].data}`",
        )
    return found[0]


def _listed(entries: Iterable[Entry]) -> str:
    return "".join(
        f"\n{entry.name}: {entry.data}, port {entry.port}, user {account.name(entry.uid)}" for entry in entries
    )


def _paths(entry: Entry) -> set[str]:
    return {entry.data, entry.repo, *entry.files, *map(os.path.dirname, entry.files)}


def _repository(folder: str) -> str:
    """The top of the git repository that the folder is in; empty outside of one."""
    while not os.path.exists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return ""
        folder = parent
    return folder
