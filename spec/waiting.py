import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(what: str, condition: Callable[[], T], limit_s: float = 15) -> T:
    """Returns the first truthy result of `condition`. Fails if there is none within `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {limit_s} s, in vain, until {what}"
        time.sleep(0.01)
    return answer
