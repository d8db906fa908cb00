"""Failed requests, and which of them are excused by a kill."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

NOTICED_S = 2.0
"""Time in which a client notices that its worker was killed. The reset comes at once, but the client may run late."""

WRONG_REPLY = 200
"""The status of a failure that nothing excuses."""


class Failure(NamedTuple):
    """All times are of the monotonic clock. `status` is 0 if the connection broke."""

    kind: str
    connected_s: float
    began_s: float
    ended_s: float
    status: int
    error: str


@dataclass
class Kill:
    """`until_s` is the end of the outage. `with_daemon`: the daemon was killed as well."""

    part: Literal["app", "worker"]
    at_s: float
    with_daemon: bool
    until_s: float = float("inf")

    @property
    def what(self) -> str:
        return f"{self.part} and daemon" if self.with_daemon else self.part

    def excuses(self, failure: Failure) -> bool:
        if failure.status == WRONG_REPLY:
            return False
        if self.part == "app":
            return self.at_s <= failure.ended_s and failure.began_s <= self.until_s
        if self.with_daemon and self.at_s <= failure.ended_s and failure.began_s <= self.until_s:
            return True
        return not failure.status and failure.connected_s <= self.at_s <= failure.ended_s <= self.at_s + NOTICED_S


def attributed(
    failures: Iterable[Failure], kills: list[Kill]
) -> tuple[list[tuple[Kill, list[Failure]]], list[Failure]]:
    """The failures that each kill excuses, and those that no kill excuses."""
    excused: list[tuple[Kill, list[Failure]]] = [(kill, []) for kill in kills]
    unexcused: list[Failure] = []
    for failure in failures:
        of_kill = next((found for kill, found in excused if kill.excuses(failure)), unexcused)
        of_kill.append(failure)
    return excused, unexcused
