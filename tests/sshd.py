"""A real sshd on loopback, and a computer from which people connect to it: its ssh has a configuration of its own."""

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from spec.orchestrator import environment, find
from spec.ports import free_port, is_free
from spec.waiting import wait_until

from slot_machine.cli.remote import ssh
from slot_machine.core.hosts import Server

SSHD = Path("/usr/sbin/sshd")
RUN = Path("/run/sshd")
"""Where sshd of root separates its privileges."""

SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
LogLevel VERBOSE
SetEnv PATH={path}
"""

CLIENT = """
Host stranger
    HostKeyAlias stranger
Host server stranger far
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {folder}/known_hosts
    HostKeyAlias server
Host far
    ProxyJump server
Host refused
    HostName 127.0.0.1
    Port {closed}
"""


def obstacle() -> str:
    """Why there can be no sshd here; empty if there can."""
    missing = [name for name in ("ssh", "ssh-keygen") if not shutil.which(name)]
    if missing or not SSHD.exists():
        return f"there is no {', '.join([*missing, *([] if SSHD.exists() else [str(SSHD)])])}"
    return "" if RUN.exists() or os.geteuid() == 0 else f"there is no {RUN}"


class Sshd:
    """`folder` has its keys and configurations; `environment` is that of the computer from which people connect."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "sshd.log"
        self.port = free_port()
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        self.allow("")
        binary = find()
        assert binary
        (folder / "sshd_config").write_text(
            SERVER.format(port=self.port, folder=folder, path=f"{binary.parent}:/usr/bin:/bin:/usr/sbin")
        )
        self.lead_to(self.port)
        self.know((folder / "host_key.pub").read_text())
        (folder / "bin").mkdir()
        self.ssh_first("")
        self.environment = environment() | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}

    def allow(self, options: str) -> None:
        """The options of the key in authorized_keys."""
        (self.folder / "authorized_keys").write_text(f"{options} {(self.folder / 'key.pub').read_text()}")

    def know(self, key: str) -> None:
        """The key by which people know the server."""
        (self.folder / "known_hosts").write_text(f"server {key}")

    def lead_to(self, port: int) -> None:
        """The port to which people connect: that of a relay, or sshd's own."""
        text = CLIENT.format(port=port, folder=self.folder, user=getpass.getuser(), closed=free_port())
        (self.folder / "ssh_config").write_text(text)

    def ssh_first(self, options: str) -> None:
        """These options of ssh count more than those of slot-machine."""
        program = self.folder / "bin" / "ssh"
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder}/ssh_config {options} "$@"\n')
        program.chmod(0o755)

    def logins(self) -> int:
        return self.log.read_text().count("Accepted publickey")

    def run(self, *words: str, cwd: Path, given: str = "") -> "subprocess.CompletedProcess[str]":
        """slot-machine, on the computer from which people connect."""
        return subprocess.run(
            [find() or "", *words],
            cwd=cwd,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def forget(self) -> None:
        """Ends the connections that ssh keeps."""
        for host in ("server", "far", "stranger"):
            argv = [self.folder / "bin" / "ssh", *ssh.program(Server(host))[1:], "-O", "exit", host]
            subprocess.run(argv, env=self.environment, capture_output=True, check=False)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Sshd]:
    RUN.mkdir(exist_ok=True)
    sshd = Sshd(folder)
    with sshd.log.open("wb") as log:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "sshd_config"], stdin=subprocess.DEVNULL, stderr=log
        )
    try:
        wait_until("sshd listens", lambda: process.poll() is not None or not is_free(sshd.port))
        assert process.poll() is None, sshd.log.read_text()
        yield sshd
    finally:
        sshd.forget()
        process.terminate()
        process.wait(10)
        sys.stderr.write(sshd.log.read_text())
