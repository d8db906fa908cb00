"""A repository that takes pushes, with its daemon; a working copy to push from; and an sshd between them."""

import json
import os
import pwd
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from spec.daemon import Daemon
from spec.orchestrator import Orchestrator, environment
from spec.ports import free_port
from spec.waiting import wait_until

from tests.world import Site

SSHD = "/usr/sbin/sshd"
LIMIT_S = 60
ME = pwd.getpwuid(os.geteuid()).pw_name


class Pushed(Site):
    """`repo` is the working copy, with the remote `production`. `bare` is the server's repository."""

    def __init__(self, orchestrator: Orchestrator, folder: Path, bare: str = "shop.git") -> None:
        super().__init__(orchestrator, folder)
        self.bare = folder / bare
        self.data = self.bare / ".slot-machine"
        self.environment: dict[str, str] = {}
        (self.repo / ".gitignore").write_text("")
        self.git("remote", "add", "production", str(self.bare))

    def set_up(self) -> "subprocess.CompletedProcess[str]":
        done = self.orchestrator.run("init", "--push", str(self.bare), cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done

    def begin(self, **config: object) -> Daemon:
        """Sets the repository up if that was not done, and starts the daemon."""
        if not self.bare.exists():
            self.set_up()
        file = self.bare / "slot-machine.json"
        ports = {"port": self.port, "api_port": self.api_port}
        file.write_text(json.dumps(json.loads(file.read_text()) | ports | config))
        log = self.folder / f"daemon-{len(self.daemons)}.log"
        daemon = Daemon((self.orchestrator.binary, "start", "--config", file), self.bare, self.api_port, log)
        self.daemons.append(daemon)
        daemon.wait_until_ready()
        return daemon

    def version(self, name: str, fields: "Mapping[str, object] | None" = None, **behaviour: object) -> str:
        """A commit with its own slot-machine.json."""
        start = {"start_command": self.config["start_command"], "health_timeout_ms": 5000}
        (self.repo / "slot-machine.json").write_text(json.dumps(start | dict(fields or {})))
        return self.commit(name, None, **behaviour)

    def pushing(self, *args: str, remote: str = "production") -> "subprocess.Popen[str]":
        """As from a shell: in a process group of its own."""
        return subprocess.Popen(
            ["git", "push", remote, *args],
            cwd=self.repo,
            env=environment() | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def push(self, *args: str, remote: str = "production") -> tuple[int, str]:
        """The exit code, and what the pusher sees."""
        pushing = self.pushing(*(args or ("main",)), remote=remote)
        said, _ = pushing.communicate(timeout=LIMIT_S)
        return pushing.returncode, said

    def must_push(self, *args: str) -> str:
        code, said = self.push(*args)
        assert code == 0, said
        return said

    def of_server(self, *args: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.bare), *args], env=environment(), capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def tip(self, branch: str = "main") -> str:
        return self.of_server("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")

    def is_running(self, stage: str) -> bool:
        return self.status()["running"] == stage


class Held:
    """A setup that runs until `go` is called."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "go"
        path = shlex.quote(str(self._file))
        self.fields = {"setup_command": f"until [ -e {path} ]; do sleep 0.05; done"}

    def go(self) -> None:
        self._file.touch()


class Sshd:
    """On loopback, with files of its own. `accepts` are variables that it takes from clients."""

    def __init__(self, folder: Path, accepts: str = "*") -> None:
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        self.authorized_keys = folder / "authorized_keys"
        self._keygen("host")
        Path("/run/sshd").mkdir(exist_ok=True)
        config = folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self.authorized_keys}\nStrictModes no\nAcceptEnv {accepts}\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=self._log)
        wait_until("sshd listens", self._listens)

    def key(self, name: str) -> Path:
        self._keygen(name)
        return self.folder / name

    def command(self, key: Path, port: int = 0, options: str = "") -> list[str]:
        known = f"-o UserKnownHostsFile={self.folder}/known -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR"
        return shlex.split(f"ssh -F none -i {key} -o IdentitiesOnly=yes -p {port or self.port} {known} {options}")

    def run(self, key: Path, *asked: str, options: str = "") -> "subprocess.CompletedProcess[str]":
        argv = [*self.command(key, options=options), f"{ME}@127.0.0.1", *asked]
        env = environment() | {"SLOT_MACHINE_BY": "eve", "GIT_CONFIG_COUNT": "x", "SLOT_MACHINE_APP": "/tmp/none"}
        return subprocess.run(
            argv, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()
        sys.stderr.write((self.folder / "log").read_text(errors="replace"))

    def _keygen(self, name: str) -> None:
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)]
        subprocess.run(argv, check=True)

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


class Relay:
    """Passes connections on to a port, until it cuts them: when nothing was sent for `idle_s`, or at once by `cut`."""

    def __init__(self, to: int, idle_s: float = 3600) -> None:
        self._to = to
        self._idle_s = idle_s
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.idle_cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """As when a cable is pulled out and an address is lost: both ends get a reset."""
        for end in self._ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [client, server]
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            last_s = time.monotonic()
            while True:
                for key, _ in selector.select(0.1):
                    piece = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not piece:
                        return self.cut()
                    key.data.sendall(piece)
                    last_s = time.monotonic()
                if time.monotonic() - last_s > self._idle_s:
                    self.idle_cuts += 1
                    return self.cut()


def interrupt(process: "subprocess.Popen[str]") -> None:
    """As Ctrl-C does it: all of the process group gets SIGINT."""
    os.killpg(process.pid, signal.SIGINT)


@contextmanager
def closing_all(*things: "Pushed | Sshd | Relay") -> Iterator[None]:
    try:
        yield
    finally:
        for thing in things:
            thing.close()
