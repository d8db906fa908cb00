import random
import socket
from pathlib import Path


def free_port() -> int:
    """A port that nobody else takes between this check and its use: neither the kernel for an outgoing connection, nor
    an orchestrator for an app."""
    while True:
        port = random.choice(_candidates())
        if is_free(port, reuse=False) and _claimed(port):
            return port


def is_free(port: int, *, reuse: bool = True) -> bool:
    """With `reuse`, only listeners count. Without it, connections in TIME_WAIT count as well."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _claimed(port: int) -> bool:
    """Reserves the port while this process lives, by an abstract name (unix(7)). A parallel run gets another port."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0slot-machine-spec-port-{port}")
    except OSError:
        claim.close()
        return False
    claim.detach()
    return True


def _candidates() -> list[int]:
    first, last = (int(end) for end in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return [port for port in (*range(10_000, 20_000), *range(61_000, 65_536)) if not first <= port <= last]
