"""Everything that can go wrong and has a name.

SlotMachineError
├── ConfigError           the configuration or the command line is wrong
├── StartRefused          the daemon can't run here: data folder in use, port taken, database of a newer version
│   └── StateDamaged          what is live can't be read, or can't be relied on
├── Unreachable           a client found no daemon to talk to
├── Refused               a request that never became a deploy
│   ├── BadRequest            its body is wrong
│   ├── Unauthorized          its caller may not change anything
│   ├── Forbidden             it may come from a web page
│   ├── CommitNotFound        its commit does not resolve
│   ├── Busy                  another deploy runs
│   ├── NothingToRollBackTo   there is no previous version
│   ├── NothingToCancel       nothing runs, or it is too late to cancel it
│   └── Stopping              the daemon shuts down
│       └── Reloading             only to go on at once
├── StageFailed           a deploy failed in one of its stages
├── GitFailed             git ended with an error
│   └── GitTimedOut           or did not end
├── Cancelled             a deploy ended because somebody asked for it
├── DataPlaneGone         the data plane ended, or its control connection did
├── KeeperGone            the keeper of the handover ended, or its control connection did
└── Unsteerable           two versions can't be bound to the port at once

The API turns these into a status, the command line into an exit code and a `hint:` line.
"""


class SlotMachineError(Exception):
    """`hint` says what to do about it, `stage` where a deploy was; each may be empty.

    `output` holds the last lines of the app or of the setup, when those are the reason; `warnings` what else was said.
    """

    stage = ""
    output: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(SlotMachineError):
    pass


class StartRefused(SlotMachineError):
    pass


class StateDamaged(StartRefused):
    pass


class Unreachable(SlotMachineError):
    pass


class Refused(SlotMachineError):
    pass


class BadRequest(Refused):
    pass


class Unauthorized(Refused):
    pass


class Forbidden(Refused):
    pass


class CommitNotFound(Refused):
    stage = "resolve"


class Busy(Refused):
    pass


class NothingToRollBackTo(Refused):
    pass


class NothingToCancel(Refused):
    pass


class Stopping(Refused):
    def __init__(self, message: str = "the daemon is stopping", stage: str = "") -> None:
        super().__init__(message)
        self.stage = stage


class Reloading(Stopping):
    def __init__(self) -> None:
        super().__init__("the daemon reloads; try again in a moment")


class StageFailed(SlotMachineError):
    def __init__(self, stage: str, message: str, output: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint)
        self.stage = stage
        self.output = output


class GitFailed(SlotMachineError):
    pass


class GitTimedOut(GitFailed):
    pass


class Cancelled(SlotMachineError):
    def __init__(self, message: str, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class DataPlaneGone(SlotMachineError):
    pass


class KeeperGone(SlotMachineError):
    pass


class Unsteerable(SlotMachineError):
    def __init__(self, reason: str) -> None:
        super().__init__(f"no handover of the port: {reason}")
        self.reason = reason
