"""The systemd of this machine, or of this user on it."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from slot_machine.cli.service.unit import PREFIX, data_of
from slot_machine.core.errors import ServiceFailed

BOOTED = Path("/run/systemd/system")
"""It is there if systemd runs (sd_booted(3))."""
UNITS = Path("/etc/systemd/system")
LINGER = Path("/var/lib/systemd/linger")
LIMIT_S = 120.0


class Systemd(NamedTuple):
    """`of_user`: the manager of the user that runs this, in place of the machine's."""

    of_user: bool

    @property
    def runs(self) -> bool:
        return BOOTED.is_dir() and (not self.of_user or Path(_runtime(), "systemd").is_dir())

    @property
    def units(self) -> Path:
        if not self.of_user:
            return UNITS
        config = os.environ.get("XDG_CONFIG_HOME", "")
        return (Path(config) if config.startswith("/") else Path.home() / ".config") / "systemd/user"

    @property
    def version(self) -> int:
        """0 if it is not known."""
        try:
            found = re.search(r"systemd (\d+)", _run("systemctl", "--version").stdout)
        except ServiceFailed:
            return 0
        return int(found[1]) if found else 0

    def command(self, *words: str) -> str:
        """What a person types."""
        return " ".join(["systemctl", *(["--user"] if self.of_user else []), *words])

    def call(self, *words: str) -> None:
        """Raises ServiceFailed."""
        self.ask(*words)

    def ask(self, *words: str) -> str:
        """What systemctl prints. Raises ServiceFailed."""
        done = _run("systemctl", *(["--user"] if self.of_user else []), *words)
        if done.returncode:
            raise ServiceFailed(f"`{self.command(*words)}` failed: {done.stdout.strip()}")
        return done.stdout

    def complaints(self, name: str, text: str) -> str:
        """What `systemd-analyze verify` says about that unit; empty if it is good, or can't be verified."""
        if not shutil.which("systemd-analyze"):
            return ""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_text(text)
            done = _run("systemd-analyze", *(["--user"] if self.of_user else []), "verify", str(path))
        lines = [line for line in done.stdout.splitlines() if name in line]
        return "\n".join(lines) if done.returncode else ""

    def unit_with(self, data: Path) -> str:
        """The name of the unit that runs the daemon of this data folder; empty if there is none. Raises OSError."""
        for path in sorted(self.units.glob(f"{PREFIX}*.service")):
            if path.is_file() and data_of(path.read_text(errors="replace")) == str(data):
                return path.name
        return ""


def lingers(user: str) -> bool:
    """Whether the user's manager runs from boot on, and after logout (loginctl(1))."""
    return (LINGER / user).exists()


def _runtime() -> str:
    return os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"


def _run(*argv: str) -> "subprocess.CompletedProcess[str]":
    """Raises ServiceFailed."""
    env = os.environ | {"LC_ALL": "C", "SYSTEMD_COLORS": "0", "XDG_RUNTIME_DIR": _runtime()}
    try:
        return subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceFailed(f"cannot run {argv[0]}: {error}") from None
