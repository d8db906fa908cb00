"""What is asked of a deploy, and what comes of a deploy, rollback or restart."""

from typing import Literal, NamedTuple

from slot_machine.core.errors import SlotMachineError
from slot_machine.core.model import Kind, Version
from slot_machine.core.upstream import Counts


class Done(NamedTuple):
    kind: Kind
    version: Version
    previous_commit: str
    requests: Counts | Literal[""] = ""
    warnings: tuple[str, ...] = ()
    held: bool = False
    """The version is not live: it waits for `promote`."""
    preview_url: str = ""
    share: int = 0
    """Of 10,000 visitors, so many get the version, which is not live."""
    watched: bool = False
    """It is live, and the watch goes on."""


class Unchanged(NamedTuple):
    """A deploy that was not begun, because its commit is live, and nothing would be different."""

    version: Version
    previous_commit: str


class Wishes(NamedTuple):
    """`force_setup`: the setup is not skipped. `if_changed`: nothing is done if nothing would be different.

    `hold`: the candidate is held when it is healthy; `hold_after_release`: also if a release command ran before.
    `if_known`: a commit that the repository lacks is refused before the attempt begins, so the history has no entry.
    `detach`: a version that is watched is answered for at the switch.
    """

    force_setup: bool = False
    if_changed: bool = False
    hold: bool = False
    hold_after_release: bool = False
    if_known: bool = False
    detach: bool = False


PLAIN = Wishes()

Outcome = Done | Unchanged | SlotMachineError
