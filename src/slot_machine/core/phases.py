"""The phases of an attempt, and the table that says which phase may follow which.

Deploys, rollbacks and recoveries all use this table. `python -m slot_machine.core.phases` prints it as the diagram in
ARCHITECTURE.md.
"""

from enum import StrEnum


class Phase(StrEnum):
    IDLE = "idle"
    RESOLVE = "resolve"
    CHECKOUT = "checkout"
    SETUP = "setup"
    BUILD = "build"
    RELEASE = "release"
    MAKE_WAY = "make_way"
    """The old version stops before the new one starts: `strategy: replace`, and `--no-proxy` without a handover."""
    START = "start"
    HEALTH = "health"
    REHEARSE = "rehearse"
    """The candidate is asked for pages. Only a deploy whose version has `rehearse` comes here."""
    HELD = "held"
    """The end of a deploy whose candidate is to wait. `promote`, an attempt of its own, goes on from there."""
    SWITCH = "switch"
    SHARED = "shared"
    """The end of a `promote --share`. The candidate waits on."""
    WATCH = "watch"
    """The new version is live, and the old one runs on, ready to be live again. Only with `watch_ms`."""
    DRAIN = "drain"
    RESTORE = "restore"
    """The candidate is stopped. If the old version was stopped first, it is started again."""
    CANCELLING = "cancelling"
    """The same as RESTORE, but because somebody cancelled the attempt."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def stage(self) -> str:
        """The name that users see. MAKE_WAY is shown as `drain`, because it drains the old version, only earlier."""
        names = {Phase.MAKE_WAY: Phase.DRAIN.value, Phase.CANCELLING: Phase.RESTORE.value, Phase.IDLE: ""}
        return names.get(self, self.value)


HALF_MIGRATED = "the database may be half migrated"
"""Said whenever a release command was ended or failed."""


class Event(StrEnum):
    DEPLOY = "deploy"
    PREPARE_AGAIN = "prepare again"
    """A rollback or recovery whose tree does not contain its commit any more."""
    REUSE = "reuse"
    """A rollback or recovery whose tree can be used as it is."""
    RESOLVED = "resolved"
    CHECKED_OUT = "checked out"
    SET_UP = "set up"
    """The build begins. Without a build or a release command, there is no such stage."""
    PREPARED = "prepared"
    RELEASE = "release"
    RELEASED = "released"
    ALONE = "must run alone"
    OLD_STOPPED = "old one stopped"
    STARTED = "started"
    PORT_TAKEN = "port taken"
    """Another program has the port that was drawn for the app. The app is started again, on another one."""
    REHEARSE = "rehearse"
    HEALTHY = "healthy"
    HOLD = "hold"
    """The candidate is healthy, and is to wait."""
    PROMOTE = "promote"
    """A held candidate is asked for its health once more, and then made live."""
    SHARE = "share"
    """The candidate gets a part of the visitors."""
    SWITCHED = "switched"
    WATCH = "watch"
    WATCHED = "watched"
    """The new version is to stay."""
    DRAINED = "drained"
    FAIL = "fail"
    RESTORED = "restored"
    CANCEL = "cancel"
    """Somebody cancelled the attempt. In phases without this event it is too late for that."""
    ABANDON = "abandon"
    """The daemon stops."""


TABLE: dict[Phase, dict[Event, Phase]] = {
    Phase.IDLE: {
        Event.DEPLOY: Phase.RESOLVE,
        Event.PREPARE_AGAIN: Phase.CHECKOUT,
        Event.REUSE: Phase.START,
        Event.ALONE: Phase.MAKE_WAY,
        Event.PROMOTE: Phase.HEALTH,
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
        Event.SET_UP: Phase.BUILD,
        Event.RELEASE: Phase.RELEASE,
        Event.PREPARED: Phase.START,
        Event.ALONE: Phase.MAKE_WAY,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.BUILD: {
        Event.RELEASE: Phase.RELEASE,
        Event.PREPARED: Phase.START,
        Event.ALONE: Phase.MAKE_WAY,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.RELEASE: {
        Event.RELEASED: Phase.START,
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
        Event.REHEARSE: Phase.REHEARSE,
        Event.HEALTHY: Phase.SWITCH,
        Event.HOLD: Phase.HELD,
        Event.PORT_TAKEN: Phase.START,
        Event.ALONE: Phase.MAKE_WAY,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.REHEARSE: {
        Event.HEALTHY: Phase.SWITCH,
        Event.HOLD: Phase.HELD,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.SWITCH: {
        Event.SWITCHED: Phase.DRAIN,
        Event.WATCH: Phase.WATCH,
        Event.SHARE: Phase.SHARED,
        Event.FAIL: Phase.RESTORE,
        Event.ABANDON: Phase.INTERRUPTED,
    },
    Phase.WATCH: {
        Event.WATCHED: Phase.DRAIN,
        Event.FAIL: Phase.RESTORE,
        Event.CANCEL: Phase.CANCELLING,
        Event.ABANDON: Phase.SUCCEEDED,
    },
    Phase.DRAIN: {Event.DRAINED: Phase.SUCCEEDED, Event.ABANDON: Phase.SUCCEEDED},
    Phase.RESTORE: {Event.RESTORED: Phase.FAILED, Event.ABANDON: Phase.INTERRUPTED},
    Phase.CANCELLING: {Event.RESTORED: Phase.CANCELLED, Event.ABANDON: Phase.INTERRUPTED},
    Phase.HELD: {},
    Phase.SHARED: {},
    Phase.SUCCEEDED: {},
    Phase.FAILED: {},
    Phase.CANCELLED: {},
    Phase.INTERRUPTED: {},
}


class IllegalTransition(Exception):
    """`event` is not in the table for `phase`. This is always a defect of slot-machine."""

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
