"""`edge install`: the unit by which systemd runs the edge of this machine. docs/edge.md explains it."""

import os
import subprocess
from pathlib import Path

from slot_machine.cli.service import place
from slot_machine.cli.service.systemd import Systemd
from slot_machine.core.errors import ConfigError, ServiceFailed
from slot_machine.edge import binary, folder
from slot_machine.edge.settings import STATE_OF_MACHINE, EdgeSettings
from slot_machine.host import printing

NAME = "slot-machine-edge.service"
MODE = 0o644

TEXT = """\
# Written by `slot-machine edge install`, which writes it anew. Put changes of your own into a drop-in:
# systemctl edit {name}

[Unit]
Description=slot-machine: the edge
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
Environment=PATH={path}
ExecStart={program} edge start{options}
ExecReload=+{program} edge upgrade
{user}RuntimeDirectory=slot-machine-edge
RuntimeDirectoryMode=0755
Restart=always
RestartSec=1
TimeoutStopSec=30
LimitNOFILE=1048576
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK

[Install]
WantedBy=multi-user.target
"""

OF_ITS_OWN = f"""\
DynamicUser=yes
StateDirectory={STATE_OF_MACHINE.name}
StateDirectoryMode=0700
AmbientCapabilities=CAP_NET_BIND_SERVICE
"""
"""A user whom only this service has. systemd gives the state folder to it, also an older one of root."""

NOBODY = 65_534
TRIAL_LIMIT_S = 60.0


def install(settings: EdgeSettings, config: Path | None) -> None:
    """Raises ConfigError, StartRefused, ServiceFailed."""
    if os.geteuid():
        raise ConfigError("only root can install a unit of the machine", "use sudo")
    traefik = binary.find()
    program, _ = place.executable()
    why_root = reason_for_root(settings, program, config)
    if why_root:
        folder.make(Path(settings.state))
    text = text_of(settings, program, config, as_root=bool(why_root))
    systemd = Systemd(False)
    if complaints := systemd.complaints(NAME, text):
        raise ServiceFailed(f"systemd does not take the unit, so nothing was changed:\n{complaints}")
    file = systemd.units / NAME
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        folder.write(file, text.encode())
        file.chmod(MODE)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
    printing.result(f"wrote {file}, with Traefik {traefik.version}")
    if why_root:
        printing.note(f"it runs as root, not as a user of its own: {why_root}")
    enable = systemd.command("enable", "--now", NAME)
    if not systemd.runs:
        printing.note(f"systemd does not run here: where it does, run `{enable}`")
        return
    systemd.call("daemon-reload")
    try:
        systemd.call("enable", "--now", NAME)
    except ServiceFailed as error:
        raise ServiceFailed(
            f"the edge does not start, and systemd tries it again and again: {error}",
            f"`journalctl -u {NAME}` says why; `{systemd.command('disable', '--now', NAME)}` ends the trials",
        ) from None
    printing.note(f"it runs; after a change of edge.json, use `{systemd.command('reload', NAME)}`")


def reason_for_root(settings: EdgeSettings, program: Path, config: Path | None) -> str:
    """Why no other user can run the edge; empty if one can, which is tried."""
    if Path(settings.state) != STATE_OF_MACHINE:
        return f"its state folder is {settings.state}"
    command = [str(program), "edge", "start", "--check", *(["--config", str(config.resolve())] if config else [])]
    hint = "install slot-machine where all users may read it, and let them read edge.json"
    try:
        done = subprocess.run(
            command,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            env={"PATH": _path(program)},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=TRIAL_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"another user can't run {program} ({getattr(error, 'strerror', None) or error}): {hint}"
    told = done.stderr.strip().splitlines()
    return f"another user can't run {program} ({(told or ['it failed'])[0]}): {hint}" if done.returncode else ""


def text_of(settings: EdgeSettings, program: Path, config: Path | None, *, as_root: bool) -> str:
    """Raises ConfigError."""
    words = [settings.state, str(program), *([str(config.resolve())] if config else [])]
    for word in words:
        if not word.isprintable() or set(word) & set(" \"'\\%$"):
            raise ConfigError(f"{word} can't be named in a unit", "use a path of letters, digits, dashes and dots")
    options = f" --config {config.resolve()}" if config else ""
    user = f"ReadWritePaths={settings.state}\n" if as_root else OF_ITS_OWN
    return TEXT.format(name=NAME, path=_path(program), program=program, options=options, user=user)


def _path(program: Path) -> str:
    return f"{program.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
