"""Brings an image to each node of a swarm that has no registry: `docker save | ssh NODE docker load`.

An image is the same on two nodes if its layers and its inputs are. The ids of one image differ between the ways in
which engines keep images.
"""

import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import IO

from slot_machine.core.errors import StageFailed
from slot_machine.core.phases import Phase
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Steps
from slot_machine.engines.image.build import INPUTS

AT_ONCE = 3
"""So many nodes get the image at the same time: each takes the whole of it from this computer."""
LIMIT_S = 1800.0
ASK_LIMIT_S = 60.0
MOST_LINES = 5
IDENTITY = f'{{{{index .Config.Labels "{INPUTS}"}}}} {{{{json .RootFS.Layers}}}}'
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15")
"""Nobody can answer its questions. The destination follows, then the command."""


class Nodes:
    """`places` are where ssh reaches each node, by its name. `ssh` is how: a test has another way."""

    def __init__(self, docker: Client, places: Mapping[str, str], ssh: Sequence[str] = SSH) -> None:
        self._docker = docker
        self._places = places
        self._ssh = tuple(ssh)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = threading.Event()

    def give(self, image: str) -> Steps:
        """To those that lack it. Raises StageFailed, with the names of nodes, if one has another image then."""
        seen = dict(self._each(self._places, self._identity, image))
        identity = self._own(image)
        if not identity and len({*seen.values(), ""}) == 2 and all(seen.values()):
            return "each node had it"
        if not identity:
            what = f"there is no {image} here, and not on each node"
            raise StageFailed(Phase.BUILD, what, hint="`slot-machine deploy` builds it again")
        lacking = [node for node, found in seen.items() if found != identity]
        for node, said in self._each(lacking, self._load, image):
            if said:
                raise _failure(node, said)
            yield f"{node} has it"
        for node, found in self._each(lacking, self._identity, image):
            if found != identity:
                raise _failure(node, f"it has another image under that name: {found or 'none'}")
        count = len(self._places)
        return f"{count} node{'s' * (count != 1)} have it; {len(lacking)} lacked it" if lacking else "each node had it"

    def differing(self, image: str) -> list[str]:
        """Nodes that have another image under that name, or none. Raises StageFailed for one that can't be asked."""
        identity = self._own(image)
        return [node for node, found in self._each(self._places, self._identity, image) if found != identity]

    def _own(self, image: str) -> str:
        """Empty if docker here has none."""
        answer = self._docker.attempt("image", "inspect", "--format", IDENTITY, image)
        return answer.out.strip() if answer.code == 0 else ""

    def _each(self, nodes: Iterable[str], work: Callable[[str, str], str], image: str) -> Iterator[tuple[str, str]]:
        """In the order in which they are done. Ends what runs if nobody reads on."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            left: dict[Future[str], str] = {pool.submit(work, node, image): node for node in nodes}
            try:
                while left:
                    done, _ = wait(left, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield left.pop(future), future.result()
            finally:
                if left:
                    self._end(left)

    def _end(self, left: Iterable[Future[str]]) -> None:
        self._ended.set()
        for future in left:
            future.cancel()
        for process in list(self._running):
            process.kill()

    def _identity(self, node: str, image: str) -> str:
        """Empty if it has none."""
        argv = self._argv(node, "docker", "image", "inspect", "--format", IDENTITY, image)
        try:
            done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=ASK_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise _failure(node, f"ssh did not answer within {ASK_LIMIT_S:g} s") from None
        except FileNotFoundError:
            raise _failure(node, f"{self._ssh[0]} is not installed here") from None
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode and "no such image" not in said.lower():
            raise _failure(node, said or f"exit code {done.returncode}")
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""

    def _load(self, node: str, image: str) -> str:
        """What went wrong; empty if nothing did."""
        source = self._started(self._docker.argv("image", "save", image), out=subprocess.PIPE)
        assert source.stdout
        target = self._started(self._argv(node, "docker", "image", "load", "--quiet"), source.stdout)
        source.stdout.close()
        ends_s = time.monotonic() + LIMIT_S
        try:
            _, said = target.communicate(timeout=LIMIT_S)
            _, saving = source.communicate(timeout=max(1.0, ends_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"it did not get the image within {LIMIT_S:g} s"
        finally:
            for process in (target, source):
                process.kill()
                process.wait()
                self._running.discard(process)
        if target.returncode:
            return _last(said) or f"exit code {target.returncode}"
        return _last(saving) or f"exit code {source.returncode}" if source.returncode else ""

    def _started(
        self, argv: Sequence[str], given: IO[bytes] | int = subprocess.DEVNULL, out: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, stdin=given, stdout=out, stderr=subprocess.PIPE, start_new_session=True)
        self._running.add(process)
        if self._ended.is_set():
            process.kill()
        return process

    def _argv(self, node: str, *command: str) -> list[str]:
        return [*self._ssh, self._places[node], "--", shlex.join(command)]


def _failure(node: str, said: str) -> StageFailed:
    return StageFailed(Phase.BUILD, f"{node}: {said}", hint=f"try it by hand: `ssh {node} docker image ls`")


def _last(errors: bytes) -> str:
    return "\n".join(errors.decode(errors="replace").strip().splitlines()[-MOST_LINES:])
