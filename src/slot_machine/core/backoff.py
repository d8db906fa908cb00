"""Delays: before a crashed app is started again, and between two polls."""

from collections.abc import Iterator

FIRST_S = 1.0
LONGEST_S = 30.0
RESET_AFTER_S = 60.0

FIRST_GAP_S = 60.0
LONGEST_GAP_S = 3600.0


def next_delay_s(last_delay_s: float, up_s: float) -> float:
    """`last_delay_s` is 0 before the first crash. `up_s` is how long the app ran since its last start."""
    if last_delay_s == 0 or up_s >= RESET_AFTER_S:
        return FIRST_S
    return min(last_delay_s * 2, LONGEST_S)


def next_gap_s(last_gap_s: float, up_s: float) -> float:
    """The least time from one restart for memory to the next one. `last_gap_s` is 0 before the first.

    `up_s` is how long the app ran until it took too much. A leak that takes long to grow is no reason to wait longer.
    """
    if last_gap_s == 0 or up_s >= 4 * last_gap_s:
        return FIRST_GAP_S
    return min(last_gap_s * 2, LONGEST_GAP_S)


def growing(first_s: float, longest_s: float) -> Iterator[float]:
    """Yields waits without end. Each is 1.5 times as long as the one before, up to `longest_s`."""
    wait_s = first_s
    while True:
        yield wait_s
        wait_s = min(wait_s * 1.5, longest_s)
