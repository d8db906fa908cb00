"""`edge install`: the unit by which systemd runs the edge of this machine. docs/edge.md explains it."""

import os
from pathlib import Path

from slot_machine.cli.service import place
from slot_machine.cli.service.systemd import Systemd
from slot_machine.core.errors import ConfigError, ServiceFailed
from slot_machine.edge import binary, folder
from slot_machine.edge.settings import EdgeSettings
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
ExecReload={program} edge upgrade
RuntimeDirectory=slot-machine-edge
RuntimeDirectoryMode=0755
Restart=always
RestartSec=1
TimeoutStopSec=30
LimitNOFILE=1048576
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={state}
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


def install(settings: EdgeSettings, config: Path | None) -> None:
    """Raises ConfigError, StartRefused, ServiceFailed."""
    if os.geteuid():
        raise ConfigError("only root can install a unit of the machine", "use sudo")
    traefik = binary.find()
    folder.make(Path(settings.state))
    program, _ = place.executable()
    text = text_of(settings, program, config)
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


def text_of(settings: EdgeSettings, program: Path, config: Path | None) -> str:
    words = [settings.state, str(program), *([str(config.resolve())] if config else [])]
    for word in words:
        if not word.isprintable() or set(word) & set(" \"'\\%$"):
            raise ConfigError(f"{word} can't be named in a unit", "use a path of letters, digits, dashes and dots")
    options = f" --config {config.resolve()}" if config else ""
    path = f"{program.parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return TEXT.format(name=NAME, path=path, program=program, options=options, state=settings.state)
