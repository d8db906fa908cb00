"""The HTTP API: it turns requests into calls of the deployer, and outcomes into replies."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec

from slot_machine.app.attempt import Report
from slot_machine.app.deployer import Deployer
from slot_machine.app.outcomes import Done, Outcome, Unchanged, Wishes
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
from slot_machine.core.model import Kind
from slot_machine.core.upstream import Counts
from slot_machine.daemon import history, metrics, queue
from slot_machine.daemon.caller import Asked
from slot_machine.daemon.connection import NO_FIELDS, HttpError, Request, Response
from slot_machine.daemon.follower import Follower
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.keepalive import kept_alive
from slot_machine.daemon.replies import NO_ROUTES, Handler, Routes, decoded, in_json
from slot_machine.daemon.status import Status

NDJSON = "application/x-ndjson"

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


log = logging.getLogger(__name__)


class DeployBody(Asked):
    """The other fields are those of `Wishes`."""

    commit: str
    setup: bool = False
    if_changed: bool = False
    hold: bool = False
    hold_after_release: bool = False
    if_known: bool = False
    wait: bool = False
    """Whether it waits until another deploy has ended."""
    detach: bool = False


class PromoteBody(Asked):
    """`share`: so many per cent of the visitors get the candidate; it is live if all of them do."""

    share: Annotated[float, msgspec.Meta(ge=0.01, le=100)] = 100
    detach: bool = False
    """Whether the answer comes at the switch, if the version is watched then."""


class RollbackBody(Asked):
    """`to` is empty for the previous version."""

    to: str | int = ""


class CancelBody(msgspec.Struct):
    force: bool = False


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


class CancelReply(msgspec.Struct):
    """What was cancelled, and in which stage."""

    success: bool
    kind: Kind
    commit: str
    stage: str


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


class Api:
    def __init__(
        self,
        deployer: Deployer,
        status: Callable[[], Status],
        measure: Callable[[], Awaitable[bytes]],
        reload: Callable[[], Awaitable[None]],
        renew: Callable[[], Awaitable[list[str]]],
        guard: Guard,
        more: Routes = NO_ROUTES,
    ) -> None:
        """`renew` reloads if the daemon's file has changed; then it raises Reloading. Else it returns warnings.

        `more` are the routes of features that have a module of their own.
        """
        self._deployer = deployer
        self._status = status
        self._measure = measure
        self._reload = reload
        self._renew = renew
        self._guard = guard
        self._handlers: dict[str, tuple[str, Handler]] = {
            "/": ("GET", self._ready),
            "/status": ("GET", self._get_status),
            "/metrics": ("GET", self._get_metrics),
            "/history": ("GET", self._get_history),
            "/deploy": ("POST", self._deploy),
            "/promote": ("POST", self._promote),
            "/rollback": ("POST", self._rollback),
            "/restart": ("POST", self._restart),
            "/cancel": ("POST", self._cancel),
            "/reload": ("POST", self._post_reload),
            **more,
        }

    async def answer(self, request: Request) -> Response:
        """Raises ConnectionError if the client has left."""
        try:
            await self._guard.check(request)
            return await self._handler(request)(request)
        except SlotMachineError as error:
            return _response(error)
        except HttpError as error:
            return self.refuse(error)
        except ConnectionError:
            raise
        except Exception as defect:
            log.exception("cannot answer %s %s", request.method, request.target)
            error_in_words = f"unexpected {type(defect).__name__}: {defect}"
            return in_json(ErrorReply(False, error_in_words, "", "see the daemon's output", []), 500)

    def refuse(self, error: HttpError) -> Response:
        allow = {"Allow": error.allow} if error.allow else NO_FIELDS
        return in_json(ErrorReply(False, error.status.phrase, "", "", []), error.status, allow)

    def _handler(self, request: Request) -> Handler:
        """Raises HttpError."""
        path = request.target.partition("?")[0]
        known = ("GET", self._get_attempt) if path.startswith(history.PATH) else self._handlers.get(path)
        if not known:
            raise HttpError(HTTPStatus.NOT_FOUND)
        method, handler = known
        allowed = ("GET", "HEAD") if method == "GET" else (method,)
        if request.method not in allowed:
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, ",".join(allowed))
        return handler

    async def _ready(self, _: Request) -> Response:
        return Response(200, b"slot-machine is ready\n", "text/plain; charset=utf-8")

    async def _get_status(self, request: Request) -> Response:
        status = self._status()
        if status.candidate.preview_url and not await self._guard.may_change(request):
            status.candidate.preview_url = ""
        return in_json(status, 200)

    async def _get_metrics(self, _: Request) -> Response:
        return Response(200, await self._measure(), metrics.CONTENT_TYPE)

    async def _get_history(self, request: Request) -> Response:
        return in_json(history.entries(self._deployer.attempts, request.target), 200)

    async def _get_attempt(self, request: Request) -> Response:
        return in_json(history.entry(self._deployer.attempts, request.target), 200)

    async def _deploy(self, request: Request) -> Response:
        body = decoded(await request.body(), DeployBody, '{"commit": "HEAD"}')
        wishes = Wishes(
            body.setup, body.if_changed, body.hold, body.hold_after_release, body.if_known, detach=body.detach
        )
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)

        def begin(report: Report) -> "asyncio.Task[Outcome]":
            return self._deployer.deploy(body.commit, trigger, report, wishes, origin)

        if body.wait and (operations := self._deployer.operations).busy:
            if NDJSON in request.first("accept"):
                return _stream(queue.stream(operations, request, _line, lambda: _followed(begin)))
            await queue.turn(operations, request)
        return await self._follow(request, begin)

    async def _promote(self, request: Request) -> Response:
        body = decoded(await request.body() or b"{}", PromoteBody, '{"by": "somebody"}')
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)
        share = round(body.share * WHOLE / 100)

        def begin(report: Report) -> "asyncio.Task[Outcome]":
            if share == WHOLE:
                return self._deployer.promote(trigger, report, origin, detach=body.detach)
            return self._deployer.share(share, trigger, report, origin)

        return await self._follow(request, begin)

    async def _rollback(self, request: Request) -> Response:
        body = decoded(await request.body() or b"{}", RollbackBody, '{"to": "12"}')
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)
        to = str(body.to)
        return await self._follow(request, lambda report: self._deployer.rollback(trigger, report, origin, to))

    async def _restart(self, request: Request) -> Response:
        """If the daemon's file has changed, it reloads first, and the client is to ask again."""
        body = decoded(await request.body() or b"{}", Asked, '{"by": "somebody"}')
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)
        warnings = await self._renew()
        return await self._follow(request, lambda report: self._deployer.restart(trigger, report, warnings, origin))

    async def _cancel(self, request: Request) -> Response:
        body = decoded(await request.body() or b"{}", CancelBody, '{"force": true}')
        cancelled = await self._deployer.operations.cancel(force=body.force)
        return in_json(CancelReply(True, cancelled.kind, cancelled.commit, cancelled.stage), 200)

    async def _post_reload(self, _: Request) -> Response:
        """The answer comes before the reload. `reloads` in the status tells when that is done."""
        await self._reload()
        return in_json({"success": True}, 202)

    async def _follow(self, request: Request, begin: Callable[[Report], "asyncio.Task[Outcome]"]) -> Response:
        """Answers when the operation has ended, or streams its progress. The operation goes on if the client leaves.

        The head of a stream is kept back until the commit is resolved, so that a refusal has its own status.
        """
        if NDJSON not in request.first("accept"):
            return _response(await asyncio.shield(begin(lambda _: None)))
        follower = Follower(self._guard.app)
        task = begin(follower.report)
        task.add_done_callback(lambda _: follower.close())
        if not await follower.resolved():
            return _response(task.result())
        return _stream(_progress(follower, task))


def _stream(lines: AsyncGenerator[bytes, None]) -> Response:
    return Response(200, kept_alive(lines), NDJSON)


def _followed(begin: Callable[[Report], "asyncio.Task[Outcome]"]) -> AsyncGenerator[bytes, None]:
    """Begins an operation at once, and streams all of its progress."""
    follower = Follower()
    task = begin(follower.report)
    task.add_done_callback(lambda _: follower.close())
    return _progress(follower, task)


async def _progress(follower: Follower, task: "asyncio.Task[Outcome]") -> AsyncGenerator[bytes, None]:
    try:
        while lines := await follower.take():
            yield lines
        yield _line(task.result())
    finally:
        follower.close()


def _response(outcome: Outcome) -> Response:
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


def _line(outcome: Outcome) -> bytes:
    return msgspec.json.encode(body_of(outcome)) + b"\n"
