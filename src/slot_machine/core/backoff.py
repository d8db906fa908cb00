"""How long to wait before a crashed app is started again."""

FIRST_S = 1.0
LONGEST_S = 30.0
RESET_AFTER_S = 60.0


def next_delay_s(last_delay_s: float, healthy_s: float) -> float:
    """`last_delay_s` is 0 before the first crash; `healthy_s` is how long the app ran healthy since the last start."""
    if last_delay_s == 0 or healthy_s >= RESET_AFTER_S:
        return FIRST_S
    return min(last_delay_s * 2, LONGEST_S)
