"""Compares what visitors saw of a new version with what they saw of the old one."""

from typing import Literal

import msgspec

from slot_machine.core.minutes import Tally

Word = Literal["better", "worse", "not enough requests"]


class Side(msgspec.Struct, frozen=True):
    """What is known of one version: its requests by path, and the processes that crashed."""

    paths: dict[str, Tally] = {}
    in_a_row: dict[str, int] = {}
    """By path, how many requests have failed since the last one that did not."""
    crashes: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """`why` tells in words what is worse. `better`: at least as good."""

    word: Word
    why: str = ""
    numbers: dict[str, float] = {}
    """For the status: by name, those of both sides."""
    warnings: tuple[str, ...] = ()
    """What is no reason to go back, such as latency."""


def judge(new: Side, old: Side, *, same_minutes: bool) -> Verdict:  # noqa: ARG001
    """`same_minutes`: both sides served in the same minutes, so that their latency can be compared."""
    return Verdict("not enough requests")
