"""What is known of one of two versions that are compared."""

from typing import NamedTuple

import msgspec

from slot_machine.core.minutes import Tally

ALL = ""
"""In place of a path: all of them together."""


class Side(msgspec.Struct, frozen=True):
    """The requests of a version by path, and its processes that crashed."""

    paths: dict[str, Tally] = {}
    in_a_row: dict[str, int] = {}
    """By path, how many requests have failed since the last one that did not."""
    crashes: tuple[str, ...] = ()
    visitors_in_a_row: dict[str, int] = {}
    """Those of `in_a_row` without the ones of visitors who asked again. Missing: nobody did."""
    looks: dict[str, int] = {}
    """By path, and for ALL: in how many looks there were failures. Missing: in enough."""
    bursts: dict[str, float] = {}
    """By path, how many failures come together: their variance by that of independent ones. Missing: 1."""
    warm: Tally = msgspec.field(default_factory=Tally)
    """All requests since the version was warm; of the old one in a share, those of the same minutes."""
    meanwhile: dict[str, Tally] = {}
    """Of the old version in a share: those of `paths` that came in the same minutes."""
    seconds: float = 0.0
    """In which the requests came."""
    quiet_s: float = 0.0
    """Since the last one."""

    @property
    def total(self) -> Tally:
        summed = Tally({})
        for tally in self.paths.values():
            summed.add(tally)
        return summed


class Sample(NamedTuple):
    """Requests without the failures of visitors who asked again."""

    requests: int
    failures: int

    @classmethod
    def of(cls, tally: Tally) -> "Sample":
        return cls(tally.asked - tally.again, tally.failed - tally.again)

    @classmethod
    def of_answered(cls, tally: Tally) -> "Sample":
        """Without those that wait, or waited in vain."""
        return cls(tally.answered - tally.again, tally.errors - tally.again)

    @property
    def share(self) -> float:
        return self.failures / self.requests if self.requests > 0 else 0.0

    def thinned(self, burst: float) -> "Sample":
        """As many as are independent of each other, if so many failures come together."""
        return Sample(int(self.requests / burst), int(self.failures / burst)) if burst > 1 else self
