"""Another program of the machine that listens where an app should. As root, it is another user's."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spec.web import Reply

from tests.users import CAN_BE_NOBODY, NOBODY, PYTHON
from tests.world import Site

UID = NOBODY if CAN_BE_NOBODY else os.geteuid()
PROGRAM = (Path(__file__).parent / "clients" / "neighbour.py").read_text()


@contextmanager
def neighbour(port: int, does: str = "listen", env: dict[str, str] | None = None) -> Iterator[int]:
    """Returns its process id."""
    argv = [PYTHON, "-ISc", PROGRAM, does, str(port)]
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=env,
        user=NOBODY if CAN_BE_NOBODY else None,
        group=NOBODY if CAN_BE_NOBODY else None,
        extra_groups=[] if CAN_BE_NOBODY else None,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


def port_of(site: Site, commit: str, name: str = "PORT") -> int:
    """Of the start of that version; 0 while there is none."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_there = Path(os.readlink(folder / "cwd")).is_relative_to(site.data)
            variables = dict(pair.split("=", 1) for pair in (folder / "environ").read_text().split("\0") if pair)
        except (OSError, ValueError):
            continue
        if is_there and variables.get("SLOT_MACHINE_COMMIT") == commit and name in variables:
            return int(variables[name])
    return 0


@contextmanager
def neighbours(site: Site, commit: str, name: str = "PORT") -> Iterator[list[int]]:
    """One listens at the port of each start of that version that begins from now on. Returns their process ids."""
    pids: list[int] = []
    done = threading.Event()

    def follow() -> None:
        ports = {0, port_of(site, commit, name)}
        with ExitStack() as stack:
            while not done.wait(0.05):
                if (port := port_of(site, commit, name)) not in ports:
                    ports.add(port)
                    pids.append(stack.enter_context(neighbour(port)))

    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        try:
            yield pids
        finally:
            done.set()
            following.result()


@contextmanager
def deploying(site: Site, path: str = "/deploy") -> Iterator["Future[Reply]"]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(site.post, path, {"commit": "HEAD"})
