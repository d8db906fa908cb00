"""The text of a systemd unit; docs/service.md explains each line of it. Pure."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from slot_machine.host.process.cgroup import SUBGROUP

PREFIX = "slot-machine-"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)

STOP_MARK = "stopping"
"""A file in the unit's runtime folder: somebody has asked to stop the service."""
READ_ONLY = tuple(map(Path, ("/usr", "/boot", "/efi", "/etc")))
"""What ProtectSystem=full makes read-only (systemd.exec(5))."""
WATCHDOG_S = 60
"""Long enough for a machine that was frozen for a while, such as a virtual one that was moved."""
FIRST_FREE_PORT = 1024

HEAD = """\
# Written by `slot-machine install`, which writes it anew. Put changes of your own into a drop-in:
# {edit}
"""
DATA = "X-Data"
"""A line that systemd ignores. It tells whose unit this is: two apps may have one name."""


class Service(NamedTuple):
    """`user` is empty for a unit of the user's own manager."""

    name: str
    user: str
    folder: Path
    executable: Path
    options: tuple[str, ...]
    path: str
    data: Path
    repo: Path
    ports: tuple[int, ...]
    has_subgroups: bool = False
    """Whether systemd knows DelegateSubgroup=."""

    @property
    def unit(self) -> str:
        return f"{PREFIX}{self.name}.service"


def named(text: str) -> str:
    """What a unit can be called after an app."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip(".-")[:100] or "app"


def text_of(service: Service) -> str:
    scope = "" if service.user else "--user "
    head = HEAD.format(edit=f"systemctl {scope}edit {service.unit}")
    parts = {"Unit": _unit(service), "Service": _service(service), "Install": _install(service)}
    return head + "".join(f"\n[{part}]\n" + "".join(f"{line}\n" for line in lines) for part, lines in parts.items())


def data_of(text: str) -> str:
    """The data folder of the daemon that the unit runs; empty for a unit that somebody else wrote."""
    found = re.search(rf"^{DATA}=(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def _unit(service: Service) -> Iterator[str]:
    yield f"Description=slot-machine: {_literal(service.name)}"
    if service.user:
        yield "Wants=network-online.target"
        yield "After=network-online.target"
        yield f"RequiresMountsFor={' '.join(map(_quoted, _places(service)))}"
    yield "StartLimitIntervalSec=0"
    yield f"{DATA}={service.data}"


def _service(service: Service) -> Iterator[str]:
    yield "Type=notify"
    if service.user:
        yield f"User={service.user}"
    yield f"WorkingDirectory={_literal(str(service.folder))}"
    yield f"Environment={_quoted(f'PATH={service.path}')}"
    executable = _quoted(service.executable, command=True)
    yield " ".join([f"ExecStart={executable} start", *(_quoted(option, command=True) for option in service.options)])
    yield f"ExecReload={executable} reload"
    yield f"RuntimeDirectory={PREFIX}{service.name}"
    yield f"ExecStop=/bin/touch %t/{PREFIX}{service.name}/{STOP_MARK}"
    yield f"ExecStopPost=-{executable} after-stop %n"
    yield "KillMode=process"
    yield "Delegate=yes"
    if service.has_subgroups:
        yield f"DelegateSubgroup={SUBGROUP}"
    yield "OOMPolicy=continue"
    yield "Restart=always"
    yield "RestartSec=1"
    yield "TimeoutStartSec=300"
    yield "TimeoutStopSec=90"
    yield f"WatchdogSec={WATCHDOG_S}"
    if service.user:
        yield from _hardening(service)


def _hardening(service: Service) -> Iterator[str]:
    yield "ProtectSystem=full"
    if written := list(filter(_is_read_only, _places(service))):
        yield f"ReadWritePaths={' '.join(map(_quoted, written))}"
    if service.user == "root":
        # For other users, systemd would combine these with NoNewPrivileges=, under which sudo and ping do not work.
        yield "ProtectKernelTunables=yes"
        yield "ProtectKernelModules=yes"
        yield "ProtectKernelLogs=yes"
        yield "ProtectClock=yes"
    elif min(service.ports) < FIRST_FREE_PORT:
        yield "AmbientCapabilities=CAP_NET_BIND_SERVICE"


def _install(service: Service) -> Iterator[str]:
    yield f"WantedBy={'multi-user.target' if service.user else 'default.target'}"


def _places(service: Service) -> Iterable[Path]:
    return dict.fromkeys((service.folder, service.repo, service.data))


def _is_read_only(place: Path) -> bool:
    return any(place.is_relative_to(folder) for folder in READ_ONLY)


def _literal(text: str) -> str:
    """systemd.unit(5), specifiers."""
    return text.replace("%", "%%")


def _quoted(value: object, *, command: bool = False) -> str:
    """One word, as systemd.syntax(7) quotes it. In a command, `$` begins a variable (systemd.service(5))."""
    text = _literal(str(value))
    if command:
        text = text.replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", text, re.ASCII):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
