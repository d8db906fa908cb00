"""What one check of `doctor` has found."""

from pathlib import Path
from typing import Literal, NamedTuple

from slot_machine.app.opening import Options
from slot_machine.core.errors import SlotMachineError
from slot_machine.daemon.lock import Holder

Level = Literal["ok", "note", "wrong"]

AS_ANOTHER = "run this command as the daemon's user, or as root"
"""A note is about something that works, with less than it could."""


class Finding(NamedTuple):
    """`hint` says what to do."""

    check: str
    level: Level
    text: str
    hint: str = ""


class Subject(NamedTuple):
    """The app that is examined. `holder` is its daemon if one runs."""

    options: Options
    holder: Holder | None

    @property
    def data(self) -> Path:
        return self.options.data

    @property
    def existing(self) -> Path:
        """The data folder, or the nearest folder above that exists."""
        return next(place for place in (self.data, *self.data.parents) if place.exists())


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def note(check: str, text: str, hint: str) -> Finding:
    return Finding(check, "note", text, hint)


def wrong(check: str, text: str, hint: str) -> Finding:
    return Finding(check, "wrong", text, hint)


def refused(check: str, error: SlotMachineError, hint: str = AS_ANOTHER) -> Finding:
    """`hint` is for an error that has none."""
    return wrong(check, str(error), error.hint or hint)
