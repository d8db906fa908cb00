"""Which step of a deploy may follow which: the one table that deploys, rollbacks and recoveries are paths through.

The diagram in ARCHITECTURE.md is made from it by `python -m slot_machine.core.phases`.
"""

from enum import StrEnum


class Phase(StrEnum):
    IDLE = "idle"
    RESOLVE = "resolve"
    CHECKOUT = "checkout"
    SETUP = "setup"
    MAKE_WAY = "make_way"
    """The old version stops before the new one starts: `strategy: replace`, and `--no-proxy` without a handover."""
    START = "start"
    HEALTH = "health"
    SWITCH = "switch"
    DRAIN = "drain"
    RESTORE = "restore"
    """The candidate is stopped, and the old version started again if it had made way."""
    CANCELLING = "cancelling"
    """The same, because somebody asked for it."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def stage(self) -> str:
        """The phase under the name that users see: making way is a drain, only earlier. None has begun when idle."""
        names = {Phase.MAKE_WAY: Phase.DRAIN.value, Phase.CANCELLING: Phase.RESTORE.value, Phase.IDLE: ""}
        return names.get(self, self.value)


class Event(StrEnum):
    DEPLOY = "deploy"
    PREPARE_AGAIN = "prepare again"
    """A rollback or recovery whose slot no longer holds its commit."""
    REUSE = "reuse"
    """A rollback or recovery whose slot is as it was left."""
    RESOLVED = "resolved"
    CHECKED_OUT = "checked out"
    PREPARED = "prepared"
    ALONE = "must run alone"
    OLD_STOPPED = "old one stopped"
    STARTED = "started"
    HEALTHY = "healthy"
    SWITCHED = "switched"
    DRAINED = "drained"
    FAIL = "fail"
    RESTORED = "restored"
    CANCEL = "cancel"
    """Somebody asked for it. Where it is not in the table, it is too late."""
    ABANDON = "abandon"
    """The daemon stops."""


TABLE: dict[Phase, dict[Event, Phase]] = {
    Phase.IDLE: {
        Event.DEPLOY: Phase.RESOLVE,
        Event.PREPARE_AGAIN: Phase.CHECKOUT,
        Event.REUSE: Phase.START,
        Event.ALONE: Phase.MAKE_WAY,
        Event.CANCEL: Phase.CANCELLED,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.RESOLVE: {
        Event.RESOLVED: Phase.CHECKOUT,
        Event.FAIL: Phase.FAILED,
        Event.CANCEL: Phase.CANCELLED,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.CHECKOUT: {
        Event.CHECKED_OUT: Phase.SETUP,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.SETUP: {
        Event.PREPARED: Phase.START,
        Event.ALONE: Phase.MAKE_WAY,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.MAKE_WAY: {
        Event.OLD_STOPPED: Phase.START,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.START: {
        Event.STARTED: Phase.HEALTH,
        Event.ALONE: Phase.MAKE_WAY,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.HEALTH: {
        Event.HEALTHY: Phase.SWITCH,
        Event.ALONE: Phase.MAKE_WAY,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.SWITCH: {Event.SWITCHED: Phase.DRAIN, Event.FAIL: Phase.RESTORE, Event.ABANDON: Phase.INTERRUPTED},
    Phase.DRAIN: {Event.DRAINED: Phase.SUCCEEDED, Event.ABANDON: Phase.SUCCEEDED},
    Phase.RESTORE: {Event.RESTORED: Phase.FAILED, Event.ABANDON: Phase.INTERRUPTED},
    Phase.CANCELLING: {Event.RESTORED: Phase.CANCELLED, Event.ABANDON: Phase.INTERRUPTED},
    Phase.SUCCEEDED: {},
    Phase.FAILED: {},
    Phase.CANCELLED: {},
    Phase.INTERRUPTED: {},
}


class IllegalTransition(Exception):
    """A defect of slot-machine, never of its use: `event` is not in the table for `phase`."""

    def __init__(self, phase: Phase, event: Event) -> None:
        legal = ", ".join(TABLE[phase]) or "nothing"
        super().__init__(f"{event.value!r} is not possible in phase {phase.value!r}; possible: {legal}")


def after(phase: Phase, event: Event) -> Phase:
    """Raises IllegalTransition."""
    try:
        return TABLE[phase][event]
    except KeyError:
        raise IllegalTransition(phase, event) from None


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.IDLE}"]
    for phase, events in TABLE.items():
        lines += [f"    {phase} --> {target}: {event}" for event, target in events.items()]
        if not events:
            lines.append(f"    {phase} --> [*]")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(diagram(), end="")
