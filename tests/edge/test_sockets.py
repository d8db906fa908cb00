"""Which of two sets of listening sockets gets a new connection."""

import select
import socket

import pytest
from spec.ports import free_port

from slot_machine.core.errors import StartRefused
from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.sockets import NEW, OLD, Set, Sockets, close, steer

TRIES = 20


def taken(port: int, *sets: Set) -> list[int]:
    """How many of `TRIES` connections each set got."""
    listeners = [dict(each)["https"] for each in sets]
    counts = [0] * len(sets)
    for _ in range(TRIES):
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            ready, _, _ = select.select(listeners, [], [], 5)
            for listener in ready:
                listener.accept()[0].close()
                counts[listeners.index(listener)] += 1
    return counts


@pytest.mark.parametrize("bind", ["", "127.0.0.1"])
def test_a_new_set_gets_nothing_before_it_is_ready(bind: str) -> None:
    settings = EdgeSettings(http_port=free_port(), https_port=free_port(), bind=bind)
    sockets = Sockets(settings)
    old = sockets.open(http3=False)
    assert taken(settings.https_port, old) == [TRIES]
    steer(old, OLD)
    new = sockets.open(http3=False)
    assert taken(settings.https_port, old, new) == [TRIES, 0]
    steer(new, NEW)
    assert taken(settings.https_port, old, new) == [0, TRIES]
    close(old)
    assert taken(settings.https_port, new) == [TRIES]
    steer(new, OLD)
    newer = sockets.open(http3=False)
    assert taken(settings.https_port, new, newer) == [TRIES, 0]
    close(new)
    close(newer)


def test_a_port_of_another_server_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.edge.sockets.BIND_LIMIT_S", 0)
    settings = EdgeSettings(http_port=free_port(), https_port=free_port())
    other = Sockets(settings).open(http3=False)
    with pytest.raises(StartRefused, match=str(settings.http_port)):
        Sockets(settings).check()
    close(other)
    Sockets(settings).check()
