"""`init`: writes the first slot-machine.json and a line in .gitignore. It writes to neither through a link."""

import hashlib
import json
import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec

from slot_machine.cli import gitignore, repository
from slot_machine.core.config import Config
from slot_machine.core.config_file import printable, render_short, short_fields
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.defaults import FILE_NAME
from slot_machine.core.errors import ConfigError
from slot_machine.detect.compose import Proposal, propose
from slot_machine.detect.machine import ThisMachine
from slot_machine.detect.project import Project, Unreadable
from slot_machine.host import printing, registry
from slot_machine.host.files.regular import open_own, open_regular
from slot_machine.host.network import ports

FOLDER = Path()
"""A relative path, because nobody can replace the current folder of a process by another one."""
OF_ROOT = Path("/var/lib/slot-machine")


class Outcome(NamedTuple):
    """`config` is None if the file exists and is kept. `said` is what was decided for this machine."""

    proposal: Proposal | None
    config: Config | None
    said: tuple[str, ...]
    wrote: tuple[str, ...]


def run(data: str, *, force: bool, dry: bool = False, as_json: bool = False) -> None:
    """`data` is the name of the data folder, which git has to ignore. Raises ConfigError."""
    kept = (FOLDER / FILE_NAME).exists() and not force and not dry
    proposal = None if kept else _proposed()
    config, said = _configured(proposal) if proposal else (None, ())
    wrote = () if dry else _written(data, config)
    outcome = Outcome(proposal, config, said, wrote)
    if as_json:
        _print(json.dumps(_fields(outcome), indent=2))
    else:
        _report(outcome, dry=dry)


def _proposed() -> Proposal:
    listing = repository.listing(FOLDER)
    project = Project(FOLDER, listing.top, listing.files)
    try:
        return propose(project, ThisMachine(), env_tracked=".env" in listing.tracked)
    except Unreadable as error:
        raise ConfigError(str(error), "correct it, then run init again") from None


def _configured(proposal: Proposal) -> tuple[Config, tuple[str, ...]]:
    folder = Path.cwd().name
    name, about_name = _unused_name(folder)
    port, about_port = _free("port", DaemonConfig().port)
    api_port, about_api = _free("api_port", DaemonConfig().api_port)
    data = _outside(folder) if proposal.outside else ""
    said = [line for line in (about_name, about_port, about_api) if line]
    if data:
        said.append(f"the data folder is {data}: below the repository, Node would find the packages of your own copy")
    daemon = DaemonConfig(name=name, port=port, env_file=proposal.env_file, api_port=api_port, data=data)
    return Config(proposal.version, daemon), tuple(said)


def _written(data: str, config: Config | None) -> tuple[str, ...]:
    """The names of the files that were changed."""
    try:
        ignored = gitignore.ignore_once(FOLDER, data)
    except OSError as error:
        hint = f"replace it by a file of its own, or have git ignore {data} in another way"
        raise ConfigError(f"cannot write {Path.cwd() / '.gitignore'}: {error.strerror}", hint) from None
    wrote = (".gitignore",) if ignored else ()
    if config is None:
        return wrote
    try:
        with os.fdopen(open_own(FOLDER / FILE_NAME), "w") as file:
            file.truncate()
            file.write(render_short(config))
    except OSError as error:
        path = Path.cwd() / FILE_NAME
        raise ConfigError(f"cannot write {path}: {error.strerror}", "remove it, then run init again") from None
    return (FILE_NAME, *wrote)


def _fields(outcome: Outcome) -> dict[str, object]:
    proposal, config, said, wrote = outcome
    return {
        "recognised": [each._asdict() for each in proposal.recognised] if proposal else [],
        "guessed": [*proposal.guessed, *said] if proposal else [],
        "look": list(proposal.look) if proposal else [],
        "config": short_fields(config) if config else None,
        "wrote": list(wrote),
    }


def _report(outcome: Outcome, *, dry: bool) -> None:
    proposal, config, said, wrote = outcome
    if proposal is None or config is None:
        printing.note(f"kept {Path.cwd() / FILE_NAME}, which exists (--force writes it anew)")
        return
    if dry:
        _print(render_short(config).rstrip("\n"))
    else:
        printing.result(f"wrote {Path.cwd() / FILE_NAME}")
    if ".gitignore" in wrote:
        printing.note("changed .gitignore")
    found = ", ".join(f"{each.what} ({each.file})" for each in proposal.recognised)
    printing.note(f"recognised: {found or 'nothing'}")
    for line in said:
        printing.note(line)
    for heading, lines in (("guessed", proposal.guessed), ("look at", proposal.look)):
        for line in lines:
            printing.note(f"{heading}: {line}")
    if not config.version.setup_command and not proposal.recognised:
        printing.note("fill in setup_command if the app needs a step after checkout, such as an install")


def _print(text: str) -> None:
    """As it is: lines of one text would be indented."""
    for line in text.split("\n"):
        printing.result(line)


def _outside(name: str) -> str:
    """A data folder outside of the repository, which no other app has."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    folder = (OF_ROOT if os.geteuid() == 0 else base / "slot-machine") / name
    if not folder.exists() or str(folder) == _earlier_data():
        return str(folder)
    return f"{folder}-{hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:6]}"


def _earlier_data() -> object:
    """`data` in the file that is written anew."""
    with suppress(OSError, ValueError), os.fdopen(open_regular(FOLDER / FILE_NAME), "rb") as file:
        found = msgspec.json.decode(file.read())
        return found.get("data") if isinstance(found, dict) else None
    return None


def _unused_name(folder: str) -> tuple[str, str]:
    """A name that no running daemon of this user has, and a line if it is not that of the folder."""
    wanted = printable(folder)
    here = str(Path.cwd())
    others = {entry.name: entry for entry in registry.running() if here != os.path.dirname(entry.files[0])}
    if wanted not in others:
        return wanted, ""
    name = next(name for number in count(2) if (name := f"{wanted}-{number}") not in others)
    return name, f"name is {name}, as the daemon of {others[wanted].data} is called {wanted}"


def _free(name: str, port: int) -> tuple[int, str]:
    """A port, and a line if it is not the usual one."""
    chosen = ports.free_from(port)
    if chosen == port:
        return port, ""
    by = ports.used_by(port)
    return chosen, f"{name} is {chosen}, as {port} is in use{by and f' by {by}'}"
