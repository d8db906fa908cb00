"""Checks of the unit by which systemd runs the daemon: what it names may have been removed since."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from slot_machine.cli.doctor.finding import Finding, Subject, note, ok, refused, wrong
from slot_machine.cli.service import place
from slot_machine.cli.service.systemd import Systemd, lingers
from slot_machine.core.errors import SlotMachineError
from slot_machine.host.user import account, rights
from slot_machine.host.user.rights import Account

INSTALL = "run `slot-machine install` again"


def unit(subject: Subject) -> Iterator[Finding]:
    for systemd in (Systemd(of_user=False), Systemd(of_user=True)):
        try:
            name = systemd.unit_with(subject.data)
        except OSError as error:
            yield note("service", f"the units in {systemd.units} can't be read: {error}", "run this command as root")
            continue
        if name:
            yield from _examined(systemd, systemd.units / name)
            return
    yield note("service", "no unit of systemd runs this daemon", "`slot-machine install` writes one")


def _examined(systemd: Systemd, file: Path) -> Iterator[Finding]:
    text = file.read_text(errors="replace")
    try:
        user = rights.account_of(_value(text, "User") or account.name(os.geteuid()))
    except SlotMachineError as error:
        yield refused("service", error)
        return
    found = [*_program(text, file), *_path(text, file), *_home(user), *_start(systemd, file, user)]
    yield from found or [ok("service", f"{file} runs the daemon as {user.name}")]


def _value(text: str, name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return found[-1] if found else ""


def _program(text: str, file: Path) -> Iterator[Finding]:
    words = shlex.split(_value(text, "ExecStart").replace("$$", "$").replace("%%", "%"))
    program = Path(words[0]) if words else Path()
    if not words or not os.access(program, os.X_OK):
        yield wrong("service", f"{file} runs {program}, which does not exist any more", INSTALL)
    elif place.is_versioned(program):
        yield note(
            "service",
            f"{file} runs {program}, whose path seems to bear a version: an upgrade may remove it",
            f"make a symlink to it on the PATH, and {INSTALL}",
        )


def _path(text: str, file: Path) -> Iterator[Finding]:
    found = re.search(r'^Environment="?PATH=([^"\n]*)', text, re.MULTILINE)
    folders = found[1].replace("%%", "%").split(":") if found else []
    standard = set(place.STANDARD_PATH)
    if gone := [folder for folder in folders if folder not in standard and not os.path.isdir(folder)]:
        yield wrong("service", f"the PATH in {file} names folders that are gone: {', '.join(gone)}", INSTALL)
    if not any(os.access(os.path.join(folder, "git"), os.X_OK) for folder in folders):
        yield wrong("service", f"the PATH in {file} does not lead to git", f"put git on your PATH, and {INSTALL}")


def _home(user: Account) -> Iterator[Finding]:
    if not os.path.isdir(user.home):
        yield note(
            "service",
            f"the home of {user.name}, {user.home}, does not exist: package managers may need it for their settings",
            "make it, or run the service as another user (`slot-machine install --user`)",
        )


def _start(systemd: Systemd, file: Path, user: Account) -> Iterator[Finding]:
    if not any(os.path.lexists(link) for link in file.parent.glob(f"*.wants/{file.name}")):
        enable = systemd.command("enable", file.name)
        yield wrong("service", f"{file.name} is not enabled, so it does not start at boot", f"run `{enable}`")
    if systemd.of_user and not lingers(user.name):
        linger = f"loginctl enable-linger {user.name}"
        yield wrong("service", f"{file.name} ends when {user.name} logs out", f"run `{linger}`")
