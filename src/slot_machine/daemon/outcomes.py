"""What the API answers when an attempt has ended, or when a request is refused: the status, and the reply in JSON."""

from typing import Literal

import msgspec

from slot_machine.app.outcomes import Done, Outcome, Unchanged
from slot_machine.core.candidate import WHOLE
from slot_machine.core.errors import (
    BadRequest,
    Busy,
    Cancelled,
    CommitNotFound,
    ConfigError,
    Forbidden,
    Impossible,
    Nested,
    NeverLive,
    NoSuchAttempt,
    NothingHeld,
    NothingLive,
    NothingToCancel,
    NothingToRestart,
    NothingToRollBackTo,
    Overtaken,
    PortTaken,
    PushRefused,
    Reloading,
    SlotMachineError,
    StageFailed,
    Stopping,
    Unauthorized,
    WrongApp,
)
from slot_machine.core.upstream import Counts
from slot_machine.daemon.connection import Response
from slot_machine.daemon.replies import in_json

STATUSES: dict[type[SlotMachineError], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NothingToRollBackTo: 409,
    NothingToRestart: 409,
    NothingToCancel: 409,
    NothingLive: 409,
    NothingHeld: 409,
    Impossible: 409,
    NoSuchAttempt: 404,
    Cancelled: 409,
    Busy: 409,
    Overtaken: 409,
    PushRefused: 409,
    Nested: 409,
    WrongApp: 421,
    NeverLive: 422,
    CommitNotFound: 422,
    ConfigError: 422,
    StageFailed: 500,
    PortTaken: 500,
    Stopping: 503,
    Reloading: 503,
}


class Reply(msgspec.Struct):
    success: bool
    slot: str
    commit: str
    requests: Counts | Literal[""]
    """What the switch did to them; empty where the proxy does not count them."""
    warnings: tuple[str, ...]


class DeployReply(Reply):
    previous_commit: str


class UnchangedReply(DeployReply):
    """Nothing was done: the commit is live already."""

    already_live: bool = True


class HeldReply(DeployReply):
    """The commit is not live: it waits for `POST /promote`."""

    preview_url: str
    held: bool = True


class SharedReply(Reply):
    """The commit is not live: `share` per cent of the visitors get it."""

    share: float


class WatchedReply(DeployReply):
    """The commit is live, and the watch goes on."""

    watched: bool = True


class ErrorReply(msgspec.Struct):
    """`output` holds the last lines of the app or of its setup, when those are the reason."""

    success: bool
    error: str
    stage: str
    hint: str
    output: list[str]
    warnings: tuple[str, ...] = ()
    lacks_commit: bool = False
    """Whether the repository does not have the commit that was asked for."""


def response(outcome: Outcome) -> Response:
    status = 200 if isinstance(outcome, Done | Unchanged) else STATUSES[type(outcome)]
    fields: dict[str, str] = {}
    if isinstance(outcome, Reloading):
        fields["Retry-After"] = "1"
    if isinstance(outcome, Unauthorized):
        fields["WWW-Authenticate"] = "Bearer"
    return in_json(body_of(outcome), status, fields)


def body_of(outcome: Outcome) -> Reply | ErrorReply:
    if isinstance(outcome, Done):
        version = outcome.version
        if outcome.kind == "deploy" or outcome.watched:
            previous = outcome.previous_commit
            reply = DeployReply(True, version.slot, version.commit, outcome.requests, outcome.warnings, previous)
            if outcome.watched:
                return WatchedReply(**msgspec.structs.asdict(reply))
            if outcome.held:
                return HeldReply(**msgspec.structs.asdict(reply), preview_url=outcome.preview_url)
            return reply
        if outcome.share:
            percent = outcome.share * 100 / WHOLE
            return SharedReply(True, version.slot, version.commit, "", outcome.warnings, percent)
        return Reply(True, version.slot, version.commit, outcome.requests, outcome.warnings)
    if isinstance(outcome, Unchanged):
        live = outcome.version
        return UnchangedReply(True, live.slot, live.commit, "", (), outcome.previous_commit)
    error = "\n".join([str(outcome), *(f"  | {line}" for line in outcome.output)])
    lacks = isinstance(outcome, CommitNotFound)
    return ErrorReply(False, error, outcome.stage, outcome.hint, list(outcome.output), outcome.warnings, lacks)


def line(outcome: Outcome) -> bytes:
    """The reply as the last line of a stream."""
    return msgspec.json.encode(body_of(outcome)) + b"\n"
