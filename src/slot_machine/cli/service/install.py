"""`install` and `uninstall`: the unit by which systemd runs the daemon of one app."""

import difflib
import os
import sys
from pathlib import Path
from typing import NamedTuple

import click

from slot_machine.app.opening import Options
from slot_machine.cli.service import place
from slot_machine.cli.service.systemd import Systemd, lingers
from slot_machine.cli.service.unit import NAME, Service, data_of, named, text_of
from slot_machine.core.errors import ConfigError, ServiceFailed
from slot_machine.daemon.lock import locked_by
from slot_machine.host import printing
from slot_machine.host.files.regular import open_regular
from slot_machine.host.user import access, account, rights

MODE = 0o644
FIRST_WITH_SUBGROUPS = 254
"""The first systemd that knows DelegateSubgroup=; an earlier one would complain at each of its own reloads."""


class Wishes(NamedTuple):
    """What the command line says. `start` are the options of `start`. Without `may_ask`, nobody is asked."""

    user: str
    name: str
    of_user: bool
    start: tuple[str, ...]
    may_ask: bool


def install(wishes: Wishes, options: Options) -> None:
    """Raises ConfigError, StartRefused, ServiceFailed, click.Abort."""
    systemd = Systemd(wishes.of_user)
    if not wishes.of_user and os.geteuid():
        raise ConfigError("only root can install a unit of the machine", "use sudo, or --user-unit")
    service = _service(wishes, options, systemd)
    text = text_of(service)
    if complaints := systemd.complaints(service.unit, text):
        raise ServiceFailed(f"systemd does not take the unit, so nothing was changed:\n{complaints}")
    file = systemd.units / service.unit
    before = _read(file)
    if before and (whose := data_of(before)) not in ("", str(service.data)):
        raise ConfigError(
            f"{file} runs the daemon of another app, whose data folder is {whose}", "name this one with --name"
        )
    if before == text:
        printing.result(f"unchanged: {file}")
    else:
        _confirm(file, before, text, may_ask=wishes.may_ask)
        _write(file, text)
        printing.result(f"wrote {file}")
    _enable(systemd, service, changed=bool(before) and before != text)


def uninstall(name: str, data: Path | None, systemd: Systemd) -> None:
    """Stops the service and removes its unit. Raises ConfigError, ServiceFailed."""
    unit = f"slot-machine-{name}.service" if name else systemd.unit_with(data) if data else ""
    file = systemd.units / unit
    if not unit or not (before := _read(file)):
        printing.result(f"not installed: {file}" if unit else f"not installed: no unit in {file} is for {data}")
        return
    if not data_of(before):
        raise ConfigError(f"slot-machine did not write {file}", f"remove it by `{systemd.command('disable', unit)}`")
    if not systemd.of_user and os.geteuid():
        raise ConfigError("only root can remove a unit of the machine", "use sudo")
    if systemd.runs:
        systemd.call("disable", "--now", unit)
    for link in file.parent.glob(f"*.wants/{unit}"):
        link.unlink()
    file.unlink()
    if systemd.runs:
        systemd.call("daemon-reload")
    printing.result(f"stopped the service and removed {file}" if systemd.runs else f"removed {file}")
    printing.note(f"the app's versions and data stay in {data_of(before)}")


def _service(wishes: Wishes, options: Options, systemd: Systemd) -> Service:
    """Raises ConfigError, StartRefused."""
    daemon, folder = options.config.daemon, options.config_file.parent
    user = "" if wishes.of_user else place.user_of(wishes.user, daemon.user_name, folder)
    owner = rights.find(user or account.name(os.geteuid()), "")
    assert owner
    program, is_stable = place.executable()
    # Only root can ask as another user.
    may_run = os.access(program, os.X_OK) if owner.uid == os.geteuid() else access.reachable(program, owner)
    if not may_run:
        raise ConfigError(f"{owner.name} may not run {program}", "install slot-machine where that user can read it")
    if not is_stable:
        printing.note(
            f"warning: {program} seems to bear a version, so an upgrade may remove it; make a symlink to it on the PATH"
        )
    if wishes.of_user and not lingers(owner.name):
        printing.note(
            f"warning: the service ends when {owner.name} logs out, and starts only at the next login;"
            f" `loginctl enable-linger {owner.name}` keeps it running"
        )
    ports = (daemon.port, *filter(None, (daemon.internal_port, daemon.preview_port)))
    path = place.path_for(owner, program)
    name = _name(wishes.name, daemon.name or folder.name, options.data, systemd)
    subgroups = systemd.version >= FIRST_WITH_SUBGROUPS
    return Service(name, user, folder, program, wishes.start, path, options.data, options.repo, ports, subgroups)


def _name(asked: str, app: str, data: Path, systemd: Systemd) -> str:
    """That of the unit which runs this daemon already, if there is one. Raises ConfigError."""
    if asked and not NAME.fullmatch(asked):
        raise ConfigError(f"a unit can't be called {asked!r}", "use letters, digits, `-`, `_` and `.`")
    installed = systemd.unit_with(data).removeprefix("slot-machine-").removesuffix(".service")
    if asked and installed and asked != installed:
        raise ConfigError(
            f"the unit slot-machine-{installed}.service runs this daemon already",
            f"run `slot-machine uninstall --name {installed}` first",
        )
    return asked or installed or named(app)


def _confirm(file: Path, before: str, text: str, *, may_ask: bool) -> None:
    """Shows what changes in a file that is there. Raises click.Abort."""
    if not before:
        return
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), str(file), f"{file} (new)", lineterm="")
    for line in lines:
        printing.note(line)
    if may_ask and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Change it?", abort=True, err=True)


def _read(file: Path) -> str:
    """Raises ConfigError."""
    try:
        with os.fdopen(open_regular(file), errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None


def _write(file: Path, text: str) -> None:
    """Nobody reads half a unit. Raises ConfigError."""
    beside = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text)
        beside.chmod(MODE)
        beside.replace(file)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None


def _enable(systemd: Systemd, service: Service, *, changed: bool) -> None:
    """Raises ServiceFailed."""
    enable, start = systemd.command("enable", service.unit), systemd.command("start", service.unit)
    if not systemd.runs:
        printing.note(f"systemd does not run here: where it does, run `{enable}` and `{start}`")
        return
    systemd.call("daemon-reload")
    systemd.call("enable", service.unit)
    holder = locked_by(service.data)
    if holder and changed:
        printing.note(
            f"what changed takes effect after `{systemd.command('restart', service.unit)}`, which stops the app for a"
            " moment"
        )
    elif holder:
        printing.note(f"enabled; a daemon runs already, with pid {holder.pid}; stop it if it is not the service")
    else:
        printing.note(f"enabled; start it by `{start}`")
