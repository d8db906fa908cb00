"""The output of an app's copies, on whichever node they run or ran."""

import queue
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from slot_machine.core.errors import NoLogs
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Logs
from slot_machine.engines.swarm import names
from slot_machine.engines.swarm.docker import Docker

LINE = re.compile(r"(\S+) (\S+?)@\S+ +\| ?(.*)", re.DOTALL)
"""As `docker service logs --timestamps --no-task-ids` writes it: `TIME SERVICE.SLOT@NODE | TEXT`."""


def lines(docker: Docker, app: str, wanted: Logs) -> Iterator[str]:
    """`TIME COPY TEXT`. By time, unless they are followed. Raises NoLogs."""
    known = [one.process for one in docker.services(app) if not one.is_job]
    if not known:
        raise NoLogs(f"no service of {app} runs, so there are no logs", "an app has logs from its first deploy on")
    if wanted.process and wanted.process not in known:
        raise NoLogs(f"no process {wanted.process} runs", f"these do: {', '.join(sorted(known))}")
    services = [names.service(app, name) for name in known if wanted.process in ("", name)]
    words = ["--timestamps", "--no-task-ids", "--tail", "all" if wanted.lines is None else str(wanted.lines)]
    words += ["--since", wanted.since] if wanted.since else []
    if wanted.follow:
        yield from (shown(app, line) for line in _followed(docker.client, [*words, "--follow"], services))
        return
    found = [shown(app, line) for name in services for line in docker.client.lines("service", "logs", *words, name)]
    yield from sorted(found, key=lambda line: line.partition(" ")[0])


def shown(app: str, line: str) -> str:
    found = LINE.fullmatch(line)
    return f"{found[1]} {found[2].removeprefix(f'{app}_')} {found[3]}" if found else line


def _followed(client: Client, words: Sequence[str], services: Sequence[str]) -> Iterator[str]:
    """As they come, until all services are gone."""
    come: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    followers = [client.lines("service", "logs", *words, name) for name in services]
    if len(followers) == 1:
        yield from followers[0]
        return
    for follower in followers:
        threading.Thread(target=_put, args=(follower, come), daemon=True).start()
    left = len(followers)
    while left:
        line = come.get()
        if line is None:
            left -= 1
        else:
            yield line


def _put(follower: Generator[str, None, int], come: "queue.SimpleQueue[str | None]") -> None:
    with closing(follower):
        for line in follower:
            come.put(line)
    come.put(None)
