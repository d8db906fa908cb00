import random
import socket
from pathlib import Path


def free_port() -> int:
    """A port outside of the range from which the kernel serves outgoing connections, or one of those could take it
    between this check and its use."""
    while True:
        port = random.choice(_candidates())
        if is_free(port, reuse=False) and _claimed(port):
            return port


def is_free(port: int, *, reuse: bool = True) -> bool:
    """With `reuse`, connections of the past that linger in TIME_WAIT do not count: only a listener does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def _claimed(port: int) -> bool:
    """For as long as this process lives, so that no run beside it is given the same one: an abstract name, unix(7)."""
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
    return [port for port in range(10000, 65536) if not first <= port <= last]
