"""Delays: before a crashed app is started again, and between two polls."""

from collections.abc import Iterator

FIRST_S = 1.0
LONGEST_S = 30.0
RESET_AFTER_S = 60.0


def next_delay_s(last_delay_s: float, up_s: float) -> float:
    """`last_delay_s` is 0 before the first crash. `up_s` is how long the app ran since its last start."""
    if last_delay_s == 0 or up_s >= RESET_AFTER_S:
        return FIRST_S
    return min(last_delay_s * 2, LONGEST_S)


def growing(first_s: float, longest_s: float) -> Iterator[float]:
    """Yields waits without end. Each is 1.5 times as long as the one before, up to `longest_s`."""
    wait_s = first_s
    while True:
        yield wait_s
        wait_s = min(wait_s * 1.5, longest_s)
