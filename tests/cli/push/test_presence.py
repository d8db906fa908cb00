"""Whether somebody still reads what the hook prints."""

import os
import time
from collections.abc import Iterator

import pytest

from slot_machine.cli.push import presence
from slot_machine.cli.push.presence import Presence, PusherLeft


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """To read from, and to write to."""
    monkeypatch.setattr(presence, "TICK_S", 0.01)
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_a_pusher_who_reads_no_more_has_left(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"health 30 s so far")
    with pytest.raises(PusherLeft), Presence(pipe[1]):
        time.sleep(5)


def test_a_pusher_who_reads_is_there(pipe: tuple[int, int]) -> None:
    with Presence(pipe[1]):
        for _ in range(3 * presence.PATIENCE):
            os.write(pipe[1], b"x")
            assert os.read(pipe[0], 9) == b"x"
            time.sleep(0.01)


def test_a_write_that_blocks_ends(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"x" * 65536)
    with pytest.raises(PusherLeft), Presence(pipe[1]):
        os.write(pipe[1], b"x")
