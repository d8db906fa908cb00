"""Ctrl-C, SIGTERM and SIGHUP while an attempt runs in the command itself."""

import signal
import threading
from collections.abc import Generator
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Turns the first of these signals into one KeyboardInterrupt inside of the attempt, and none after `disarm`.

    A signal that comes while the attempt's progress is printed counts in its next step.
    """

    def __init__(self) -> None:
        self._armed = True
        self._inside = False
        self._asked = False

    def disarm(self) -> None:
        """From now on, nothing interrupts the attempt: it has succeeded, or goes back."""
        self._armed = False

    def through(self, lines: Generator[T, None, None]) -> Generator[T, None, None]:
        """What `lines` yields, with the signals handled until its end."""
        before = _handle(self._came)
        try:
            while True:
                self._inside = True
                try:
                    line = lines.throw(self._interrupt()) if self._asked and self._armed else next(lines)
                except StopIteration:
                    return
                finally:
                    self._inside = False
                yield line
        finally:
            self.disarm()
            lines.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _came(self, _: int, __: FrameType | None) -> None:
        if self._inside and self._armed:
            raise self._interrupt()
        self._asked = True

    def _interrupt(self) -> KeyboardInterrupt:
        self._armed = False
        return KeyboardInterrupt()


def _handle(handler: "signal._HANDLER") -> "dict[signal.Signals, signal._HANDLER]":
    """Returns the handlers before. What is ignored, as by nohup(1), stays so."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {
        number: signal.signal(number, handler) or signal.SIG_DFL
        for number in SIGNALS
        if signal.getsignal(number) != signal.SIG_IGN
    }
