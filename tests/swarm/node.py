"""One machine of the lab: an engine, and an sshd, in a network, a mount and a host name of its own."""

import os
import subprocess
from pathlib import Path

from spec.waiting import wait_until

from tests.swarm.apart import MARK

NETWORK = "192.168.77."
ROOT = Path("/mnt")
"""In memory, in the lab's own mounts: nothing of it stays."""
LIMIT_S = 120.0
SSHD = """
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {root}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
MaxSessions 100
"""


class Node:
    """`address` is reached from the lab's own network, where the tests run, and from the other nodes.

    Attributes:
        socket: `unix://…` of its engine, for `docker -H`. From the node itself it is Docker's usual one.
        folder: what the node writes; `engine.log`, `sshd.log`
    """

    def __init__(self, number: int) -> None:
        self.name = f"node{number}"
        self.address = f"{NETWORK}{number}"
        self.folder = ROOT / self.name
        self.socket = f"unix://{self.folder}/docker.sock"
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Returns before the engine listens: `wait`."""
        self.folder.mkdir()
        ready = f"hostname {self.name} && mount -t tmpfs tmpfs /run && mkdir /run/sshd /run/lock && ip link set lo up"
        argv = [
            "unshare",
            "--mount",
            "--net",
            "--uts",
            "sh",
            "-c",
            f"{ready} && touch {self.folder}/up && exec sleep infinity",
        ]
        self._start("machine", argv)
        wait_until(f"{self.name} has its namespaces", (self.folder / "up").exists)
        host = self._running["machine"].pid
        for words in (
            f"ip link add {self.name} type veth peer name eth0 netns {host}",
            f"ip link set {self.name} master lab up",
            *(
                " ".join(self.enter(*f"ip {it}".split()))
                for it in (f"addr add {self.address}/24 dev eth0", "link set eth0 up")
            ),
        ):
            subprocess.run(words.split(), check=True)
        self.start_engine()
        (self.folder / "sshd_config").write_text(SSHD.format(folder=self.folder, root=ROOT))
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "host_key"], check=True)
        self._start("sshd", self.enter("/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")))

    def start_engine(self) -> None:
        options = {
            "data-root": self.folder / "data",
            "exec-root": "/run/docker",
            "pidfile": "/run/docker.pid",
            "cgroup-parent": f"/{os.environ[MARK]}",
            "exec-opt": "native.cgroupdriver=cgroupfs",
            "insecure-registry": f"{NETWORK}0/24",
            "log-level": "info",
        }
        hosts = ("-H", self.socket, "-H", "unix:///run/docker.sock")
        argv = ["dockerd", *(f"--{name}={value}" for name, value in options.items()), *hosts]
        self._start("engine", self.enter(*argv))

    def _start(self, name: str, argv: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Until the engine answers. `/run/docker.sock` stands for it in a default installation."""

        def answers() -> bool:
            assert self._running["engine"].poll() is None, self.said()
            return not subprocess.run(
                ["docker", "-H", self.socket, "version"], capture_output=True, check=False
            ).returncode

        wait_until(f"the engine of {self.name} answers", answers, LIMIT_S)

    def said(self) -> str:
        """The end of what its engine has logged."""
        return "\n".join((self.folder / "engine.log").read_text(errors="replace").splitlines()[-40:])

    def enter(self, *argv: str) -> list[str]:
        """That command on this node."""
        host = self._running["machine"].pid
        return ["nsenter", "--target", str(host), "--mount", "--net", "--uts", *argv]

    def docker(self, *args: str, given: str | None = None, check: bool = True, limit_s: float = LIMIT_S) -> str:
        """What `docker` prints, on the engine of this node. Raises CalledProcessError."""
        argv = ["docker", "-H", self.socket, *args]
        done = subprocess.run(argv, input=given, capture_output=True, text=True, check=False, timeout=limit_s)
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
            error.add_note(f"{done.stderr}\n{self.said()}")
            raise error
        return done.stdout.strip()

    def load(self, image: Path) -> None:
        with image.open("rb") as file:
            subprocess.run(
                ["docker", "-H", self.socket, "load", "--quiet"], stdin=file, check=True, capture_output=True
            )

    def cut(self) -> None:
        """Takes its cable out: its containers run on, but nobody reaches them."""
        subprocess.run(["ip", "link", "set", self.name, "down"], check=True)

    def mend(self) -> None:
        subprocess.run(["ip", "link", "set", self.name, "up"], check=True)

    def engine_pid(self) -> int:
        return int(subprocess.run(self.enter("cat", "/run/docker.pid"), capture_output=True, check=True).stdout)

    def stop(self) -> None:
        """Kills: its containers, and all that it wrote, end with the lab's namespaces."""
        for process in self._running.values():
            process.kill()
            process.wait()
