"""The output of copies: what there is, and what comes, also of copies that start later."""

import queue
import subprocess
import threading
from collections.abc import Iterator

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.engine import Logs
from slot_machine.engines.kubernetes import names, seen
from slot_machine.engines.kubernetes.cluster import Cluster

LOOK_EVERY_S = 3.0
"""For copies that are new."""


def lines(cluster: Cluster, wanted: Logs) -> Iterator[str]:
    """Each is `TIME COPY TEXT`. Raises EngineFailed."""
    if wanted.follow:
        yield from _followed(cluster, wanted)
        return
    found = []
    for pod in _pods(cluster, wanted.process):
        answer = cluster.client.attempt("logs", pod.name, *_options(wanted))
        if not answer.code:
            found += [_shown(pod, line) for line in answer.out.split("\n") if line]
    yield from sorted(found, key=lambda line: line.partition(" ")[0])


def _followed(cluster: Cluster, wanted: Logs) -> Iterator[str]:
    arrived: queue.SimpleQueue[str] = queue.SimpleQueue()
    processes: dict[str, subprocess.Popen[bytes]] = {}
    is_first = True
    try:
        while True:
            for pod in _new(cluster, wanted.process, processes):
                options = _options(wanted, whole=not is_first)
                process = cluster.client.begin("logs", pod.name, "--follow", *options)
                processes[pod.name] = process
                threading.Thread(target=_pump, args=(process, pod, arrived), daemon=True).start()
            is_first = False
            try:
                yield arrived.get(timeout=LOOK_EVERY_S)
                while True:
                    yield arrived.get_nowait()
            except queue.Empty:
                pass
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _new(cluster: Cluster, process: str, known: dict[str, subprocess.Popen[bytes]]) -> list[seen.Pod]:
    """Copies that have begun since. None if the cluster does not answer for a moment."""
    try:
        return [pod for pod in _pods(cluster, process) if pod.name not in known]
    except EngineFailed:
        if not known:
            raise
        return []


def _pump(process: subprocess.Popen[bytes], pod: seen.Pod, arrived: queue.SimpleQueue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        arrived.put(_shown(pod, line.decode(errors="replace").rstrip("\r\n")))
    process.stdout.close()


def _pods(cluster: Cluster, process: str) -> list[seen.Pod]:
    """That have begun to run."""
    chosen = f"{names.PROCESS}={names.plain(process)}" if process else f"{names.PROCESS}!={names.RUN}"
    found = cluster.listed("pods", seen.Pod, f"{cluster.selector},{chosen}")
    return [pod for pod in found if pod.container.state.running or pod.container.state.terminated]


def _options(wanted: Logs, *, whole: bool = False) -> list[str]:
    tail = -1 if whole or wanted.lines is None else wanted.lines
    return ["-c", "app", "--timestamps", f"--tail={tail}", *([f"--since-time={wanted.since}"] if wanted.since else [])]


def _shown(pod: seen.Pod, line: str) -> str:
    moment, _, text = line.partition(" ")
    return f"{moment} {copy_name(pod)} {text}"


def copy_name(pod: seen.Pod) -> str:
    """Such as `web.x7k2p`: a pod's name ends in characters of its own."""
    return f"{pod.label(names.PROCESS)}.{pod.name.rpartition('-')[2]}"
