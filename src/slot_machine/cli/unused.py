"""A name and ports for a new app that no other app of this machine has, as far as that can be known."""

import os
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from slot_machine.core.config_file import printable
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.defaults import FILE_NAME
from slot_machine.host import registry
from slot_machine.host.files.regular import open_regular
from slot_machine.host.network import ports
from slot_machine.host.registry import Entry

MOST_NEIGHBOURS = 200
"""So many folders beside the app's are looked at."""
LARGEST_BYTES = 65_536


class Ports(msgspec.Struct):
    """Of an app that is configured, whether it runs or not."""

    port: int = DaemonConfig().port
    api_port: int = DaemonConfig().api_port


def name(folder: str) -> tuple[str, str]:
    """A name that no running daemon of this user has, and a line if it is not that of the folder."""
    wanted = printable(folder)
    others = {entry.name: entry for entry in _others()}
    if wanted not in others:
        return wanted, ""
    found = next(name for number in count(2) if (name := f"{wanted}-{number}") not in others)
    return found, f"name is {found}, as the daemon of {others[wanted].data} is called {wanted}"


def pair() -> tuple[Ports, list[str]]:
    """`port` and `api_port`, and a line for each that is not the usual one."""
    taken = _taken()
    port, about_port = _free("port", DaemonConfig().port, taken)
    api_port, about_api = _free("api_port", DaemonConfig().api_port, taken)
    return Ports(port, api_port), [line for line in (about_port, about_api) if line]


def _free(field: str, usual: int, taken: dict[int, str]) -> tuple[int, str]:
    chosen = ports.free_from(usual)
    while chosen in taken:
        chosen = ports.free_from(chosen + 1)
    if chosen == usual:
        return usual, ""
    if ports.is_free(usual):
        return chosen, f"{field} is {chosen}, as {usual} is that of {taken[usual]}"
    by = ports.used_by(usual)
    return chosen, f"{field} is {chosen}, as {usual} is in use{by and f' by {by}'}"


def _taken() -> dict[int, str]:
    """Ports of other apps, each with the file that names it, or the data folder."""
    found: dict[int, str] = {}
    for entry in _others():
        found |= dict.fromkeys((entry.port, entry.api_port), entry.data)
    for file in _neighbours():
        with suppress(OSError, ValueError, RecursionError), os.fdopen(open_regular(file), "rb") as stream:
            known = msgspec.json.decode(stream.read(LARGEST_BYTES), type=Ports)
            found |= dict.fromkeys((known.port, known.api_port), str(file))
    return found


def _neighbours() -> list[Path]:
    """Configuration files in the folders beside this one."""
    here = Path.cwd()
    with suppress(OSError):
        with os.scandir(here.parent) as entries:
            folders = [Path(entry.path) for entry, _ in zip(entries, range(MOST_NEIGHBOURS), strict=False)]
        return sorted(folder / FILE_NAME for folder in folders if folder != here)
    return []


def _others() -> list[Entry]:
    here = str(Path.cwd())
    return [entry for entry in registry.running() if here != os.path.dirname(entry.files[0])]
