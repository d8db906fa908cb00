"""A swarm on this machine, for tests and for people: two engines in networks of their own, a registry, and a visitor.

    with Lab() as lab:                            # only inside of `python -m tests.swarm.apart`
        lab.manager.docker("node", "ls")          # each node has an engine: `docker` returns what it prints
        lab.nodes[1].cut()                        # takes its cable out; mend() puts it in again

It is as at a user's: `ssh node1` works (root, no password), `docker --context node1` and `node2` go through ssh,
`docker --context swarm` is the manager's socket, and the current context. What is pushed to `REGISTRY` stays until the
lab ends. Nothing else can be reached: there is no default route.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from spec.waiting import wait_until

from tests.swarm import images
from tests.swarm.apart import CGROUPS, MARK, obstacle
from tests.swarm.load import Load
from tests.swarm.node import NETWORK, ROOT, Node

OWN = f"{NETWORK}254"
"""The address of the lab itself, which is the user's computer and the registry's."""
REGISTRY = f"{OWN}:5000"
REMOVED_LIMIT_S = 60.0
SSH = """
Host node*
    User root
    IdentityFile {root}/key
    IdentitiesOnly yes
    UserKnownHostsFile {root}/known_hosts
    StrictHostKeyChecking yes
"""
REGISTRY_SETTINGS = {
    "version": 0.1,
    "storage": {"filesystem": {"rootdirectory": str(ROOT / "registry")}, "delete": {"enabled": True}},
    "http": {"addr": REGISTRY},
    "log": {"level": "warn"},
}


class Lab:
    """Attributes:
    nodes: the first is the manager
    environment: for programs of the user's computer; that of this process has the same
    """

    def __init__(self, nodes: int = 2) -> None:
        assert MARK in os.environ, obstacle() or "the lab runs inside of `python -m tests.swarm.apart`"
        self.nodes = [Node(number) for number in range(1, nodes + 1)]
        self.manager = self.nodes[0]
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            base = images.base()
            weigh()
            self._make_network()
            self._make_user()
            registry = self._start_registry()
            stack.callback(registry.wait)
            stack.callback(registry.kill)
            for node in self.nodes:
                stack.callback(node.stop)
                node.start()
            for node in self.nodes:
                node.wait()
            self._make_swarm()
            self.provide(images.BASE, base)
            self._ending = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _make_network(self) -> None:
        for words in ("link add lab type bridge", f"addr add {OWN}/24 dev lab", "link set lab up"):
            subprocess.run(["ip", *words.split()], check=True)

    def _make_user(self) -> None:
        """His ssh, his names of hosts, his contexts. Files of this machine are covered, in the lab's own mounts."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ROOT / "key"], check=True)
        (ROOT / "ssh_config").write_text(SSH.format(root=ROOT))
        names = [f"{node.address} {node.name}" for node in self.nodes]
        (ROOT / "hosts").write_text("\n".join(["127.0.0.1 localhost", f"{OWN} registry", *names, ""]))
        for file, place in (("ssh_config", "/etc/ssh/ssh_config"), ("hosts", "/etc/hosts")):
            subprocess.run(["mount", "--bind", ROOT / file, place], check=True)
        os.environ["DOCKER_CONFIG"] = str(ROOT / "docker")
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
            os.environ.pop(name, None)
        places = {"swarm": self.manager.socket} | {node.name: f"ssh://{node.name}" for node in self.nodes}
        for name, host in places.items():
            run("docker", "context", "create", name, "--docker", f"host={host}")
        run("docker", "context", "use", "swarm")

    def _start_registry(self) -> "subprocess.Popen[bytes]":
        settings = ROOT / "registry.json"
        settings.write_text(json.dumps(REGISTRY_SETTINGS))
        with (ROOT / "registry.log").open("wb") as log:
            return subprocess.Popen(["docker-registry", "serve", settings], stdout=log, stderr=log)

    def _make_swarm(self) -> None:
        self.manager.docker("swarm", "init", "--advertise-addr", self.manager.address)
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker")
        for node in self.nodes[1:]:
            node.docker("swarm", "join", "--advertise-addr", node.address, "--token", token, self.manager.address)
        known = [f"{node.name} {(node.folder / 'host_key.pub').read_text()}" for node in self.nodes]
        (ROOT / "known_hosts").write_text("".join(known))
        self.until("all nodes are ready", lambda: all(state == "Ready" for state in self.states().values()))

    def states(self) -> dict[str, str]:
        """By the name of the node, what the manager takes it for: `Ready`, `Down`."""
        lines = self.manager.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}").splitlines()
        return dict(line.split() for line in lines)

    def provide(self, image: str, tar: Path, *options: str) -> None:
        """An image of that file system, on each node. `options` are those of `docker import`."""
        self.manager.docker("import", *options, str(tar), image)
        saved = ROOT / "image.tar"
        self.manager.docker("save", "--output", str(saved), image)
        for node in self.nodes[1:]:
            node.load(saved)
        saved.unlink()

    def provide_program(self, name: str, image: str, also: tuple[str, ...] = ()) -> None:
        """An image with nothing but this program of this machine, such as `traefik`."""
        tar = ROOT / "program.tar"
        images.program(name, tar, also)
        self.provide(image, tar, "--change", f'ENTRYPOINT ["/bin/{name}"]')
        tar.unlink()

    def remove_stack(self, name: str) -> None:
        """Its network can't be removed before the engine has noted that its services are gone: tries until it can.

        What the engine answered is in the output of the test.
        """
        deadline_s = time.monotonic() + REMOVED_LIMIT_S
        while True:
            try:
                self.manager.docker("stack", "rm", name)
            except subprocess.CalledProcessError as error:
                print(f"docker stack rm {name}: {error.stderr}", file=sys.stderr)
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.5)
            else:
                return

    def until(self, what: str, met: Callable[[], object], limit_s: float = 60.0) -> None:
        wait_until(what, met, limit_s)

    @contextlib.contextmanager
    def load(self, host: str, rate: int = 100, port: int = 80, nodes: list[Node] | None = None) -> Iterator[Load]:
        """Visitors of `http://HOST`, spread over the edges of these nodes, until the block is left.

        A processor serves some 700 requests a second, and two other labs run beside this one.
        """
        addresses = [node.address for node in nodes or self.nodes]
        load = Load(addresses, port, host, rate, ROOT / f"load-{time.monotonic_ns()}.json")
        try:
            yield load
        finally:
            load.stop()


def weigh() -> None:
    """The containers, as one group, would get the CPU time of one process of this machine: gives them that of twenty.

    With cgroups v1 that group has this process too, and all that it starts.
    """
    first, second = CGROUPS / "cpu" / os.environ[MARK], CGROUPS / os.environ[MARK]
    if first.parent.exists():
        first.mkdir()
        (first / "cpu.shares").write_text("20480")
        (first / "cgroup.procs").write_text(str(os.getpid()))
    else:
        second.mkdir()
        (second / "cpu.weight").write_text("2000")


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
        error.add_note(done.stderr)
        raise error
    return done.stdout.strip()
