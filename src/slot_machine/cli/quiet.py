"""Says now and then that something goes on, while there is nothing else to say: an idle connection may be cut."""

import threading
from collections.abc import Callable
from contextlib import suppress

AFTER_S = 30.0
"""Many firewalls cut what is idle for 60 s."""


class Quiet:
    """Calls `say` in a thread of its own, after each AFTER_S in which `heard` was not called."""

    def __init__(self, say: Callable[[], None]) -> None:
        self._say = say
        self._news = threading.Event()
        self._ended = False
        threading.Thread(target=self._run, daemon=True).start()

    def heard(self) -> None:
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def _run(self) -> None:
        while not self._ended:
            if self._news.wait(AFTER_S):
                self._news.clear()
            else:
                with suppress(OSError, ValueError):
                    self._say()
