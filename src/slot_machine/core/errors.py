"""All errors of slot-machine, as a tree.

SlotMachineError
├── ConfigError           the configuration or the command line is wrong
├── StartRefused          the daemon can't run here: data folder in use, port taken, database of a newer version
│   └── StateDamaged          the database is damaged, missing or out of date
├── Unreachable           no daemon answers a client
├── NoLogs                there is no log, or none that was asked for
├── Refused               a request that never became a deploy
│   ├── BadRequest            its body is wrong
│   ├── Unauthorized          its caller may not change anything
│   ├── Forbidden             it may have been sent by a web page
│   ├── WrongApp              it was meant for the daemon of another app
│   ├── CommitNotFound        its commit does not resolve
│   ├── Busy                  another deploy runs
│   ├── Overtaken             a newer deploy waits in the place of this one
│   ├── Nested                it was sent from inside of an attempt, for which it would have to wait
│   ├── NothingToRollBackTo   there is no previous version, or it is live already
│   ├── NeverLive             a rollback is to go to a version that was never live
│   ├── NothingToRestart      nothing is live
│   ├── NoSuchAttempt         the history has no such entry
│   ├── NothingToCancel       nothing runs, or it is too late to cancel it
│   ├── NothingHeld           no candidate is held, to promote or to abort
│   ├── Impossible            it can't be done in this traffic mode, or with this configuration
│   ├── NothingLive           there is no version to run a command in
│   ├── PushRefused           a push may not change its branch in this way
│   └── Stopping              the daemon stops
│       └── Reloading             the daemon reloads, and will answer in a moment
├── StageFailed           a deploy failed in one of its stages
│   └── PortTaken             another program has the port on which the app was to start
├── RemoteFailed          ssh can't reach a server, or slot-machine does not answer there as it should
│   └── ConnectionLost        ssh has begun a command, and does not know how it ended
├── EnvFileError          env_file can't be read, or can't hold what it was to hold; names no value
├── GitFailed             git exited with an error
│   └── GitTimedOut           git did not exit in time
├── Cancelled             somebody cancelled a deploy
├── DataPlaneGone         a worker has exited, or its control connection is closed
├── ServiceFailed         systemd refused a unit, or a command about it
├── KeeperGone            the keeper has exited, or its control connection is closed
├── EdgeRefused           the edge does not serve what a daemon or a person asked for
├── EdgeGone              no edge runs on this machine, or it does not answer
├── EngineFailed          the client of a cluster can't reach it, or the cluster refuses
└── Unsteerable           two versions can't be bound to the port at the same time

The API maps an error to a status. The command line maps it to an exit code and a `hint:` line.
"""


class SlotMachineError(Exception):
    """`hint` says what to do. `stage` is the stage in which the deploy was. Both may be empty.

    `output` has the last lines of the app or of the setup if they are the reason. `warnings` has the deploy's warnings.
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


class NoLogs(SlotMachineError):
    pass


class Refused(SlotMachineError):
    pass


class BadRequest(Refused):
    pass


class Unauthorized(Refused):
    pass


class Forbidden(Refused):
    pass


class WrongApp(Refused):
    pass


class CommitNotFound(Refused):
    stage = "resolve"


class Busy(Refused):
    pass


class Overtaken(Refused):
    pass


class Nested(Refused):
    pass


class NothingToRollBackTo(Refused):
    pass


class NeverLive(Refused):
    pass


class NothingToRestart(Refused):
    pass


class NothingToCancel(Refused):
    pass


class NothingHeld(Refused):
    pass


class Impossible(Refused):
    pass


class NothingLive(Refused):
    pass


class NoSuchAttempt(Refused):
    pass


class PushRefused(Refused):
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


class PortTaken(StageFailed):
    pass


class RemoteFailed(SlotMachineError):
    pass


class ConnectionLost(RemoteFailed):
    pass


class EnvFileError(SlotMachineError):
    pass


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


class ServiceFailed(SlotMachineError):
    pass


class EdgeRefused(SlotMachineError):
    pass


class EdgeGone(SlotMachineError):
    pass


class EngineFailed(SlotMachineError):
    pass
