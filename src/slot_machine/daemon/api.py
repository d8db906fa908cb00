"""The HTTP API: requests to the deployer, its outcomes to replies."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from slot_machine.app.attempt import Report
from slot_machine.app.deployer import Deployer, Done, Outcome
from slot_machine.core.errors import (
    BadRequest,
    Busy,
    Cancelled,
    CommitNotFound,
    ConfigError,
    Forbidden,
    NothingToCancel,
    NothingToRollBackTo,
    Reloading,
    SlotMachineError,
    StageFailed,
    Stopping,
    Unauthorized,
)
from slot_machine.core.model import Kind
from slot_machine.core.upstream import Counts
from slot_machine.daemon.follower import Follower
from slot_machine.daemon.guard import Guard, Handler
from slot_machine.daemon.status import Status

NDJSON = "application/x-ndjson"
LARGEST_BODY = 65_536
BODY_WITHIN_S = 30.0
READ_WITHIN_S = 60.0
"""A piece of the progress, by whoever asked for it."""

STATUSES: dict[type[SlotMachineError], int] = {
    BadRequest: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NothingToRollBackTo: 409,
    NothingToCancel: 409,
    Cancelled: 409,
    Busy: 409,
    CommitNotFound: 422,
    ConfigError: 422,
    StageFailed: 500,
    Stopping: 503,
    Reloading: 503,
}

log = logging.getLogger(__name__)


class DeployBody(msgspec.Struct):
    commit: str


class Reply(msgspec.Struct):
    success: bool
    slot: str
    commit: str
    requests: Counts | Literal[""]
    """What the switch did to them; empty where nobody counted."""
    warnings: tuple[str, ...]


class DeployReply(Reply):
    previous_commit: str


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


class Api:
    def __init__(
        self,
        deployer: Deployer,
        status: Callable[[], Status],
        metrics: Callable[[], Awaitable[bytes]],
        reload: Callable[[], Awaitable[None]],
        guard: Guard,
    ) -> None:
        self._deployer = deployer
        self._status = status
        self._metrics = metrics
        self._reload = reload
        self._guard = guard
        self._asked: set[object] = set()
        self.served: set[object] = set()
        """Connections on which a request was answered."""

    def is_asked(self, connection: object) -> bool:
        """Whether a request on this connection, one of aiohttp's protocols, is being answered."""
        return connection in self._asked

    def application(self) -> web.Application:
        middlewares = [self._answering, _errors_as_json, self._guard.middleware]
        app = web.Application(middlewares=middlewares, client_max_size=LARGEST_BODY)
        app.add_routes(
            [
                web.get("/", self._ready),
                web.get("/status", self._get_status),
                web.get("/metrics", self._get_metrics),
                web.post("/deploy", self._deploy),
                web.post("/rollback", self._rollback),
                web.post("/cancel", self._cancel),
                web.post("/reload", self._post_reload),
            ]
        )
        return app

    @web.middleware
    async def _answering(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._asked.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._asked.discard(request.protocol)
            if request.transport:
                self.served.add(request.protocol)

    async def _ready(self, _: web.Request) -> web.Response:
        return web.Response(text="slot-machine is ready\n")

    async def _get_status(self, _: web.Request) -> web.Response:
        return _json(self._status(), 200)

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _deploy(self, request: web.Request) -> web.StreamResponse:
        try:
            commit = msgspec.json.decode(await _whole_body(request), type=DeployBody).commit
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"bad body: {error}", 'send {"commit": "HEAD"}') from None
        return await self._follow(request, lambda report: self._deployer.deploy(commit, _origin(request), report))

    async def _rollback(self, request: web.Request) -> web.StreamResponse:
        return await self._follow(request, lambda report: self._deployer.rollback(_origin(request), report))

    async def _cancel(self, _: web.Request) -> web.Response:
        cancelled = await self._deployer.operations.cancel()
        return _json(CancelReply(True, cancelled.kind, cancelled.commit, cancelled.stage), 200)

    async def _post_reload(self, _: web.Request) -> web.Response:
        """The answer comes before the reload: `reloads` in the status tells when it is done."""
        await self._reload()
        return _json({"success": True}, 202)

    async def _follow(
        self, request: web.Request, begin: Callable[[Report], "asyncio.Task[Outcome]"]
    ) -> web.StreamResponse:
        """Answers when the operation has ended, or streams it. It goes on when the client leaves."""
        if NDJSON not in request.headers.get("Accept", ""):
            return _outcome(await asyncio.shield(begin(lambda _: None)))
        follower = Follower()
        task = begin(follower.report)
        task.add_done_callback(lambda _: follower.close())
        try:
            return await _stream(request, follower, task)
        finally:
            follower.close()


async def _stream(request: web.Request, follower: Follower, task: "asyncio.Task[Outcome]") -> web.StreamResponse:
    """Keeps the head back until the commit is resolved, so that a refusal has its own status here, too."""
    if not await follower.resolved():
        return _outcome(task.result())
    stream = web.StreamResponse(headers={"Content-Type": NDJSON})
    await stream.prepare(request)
    try:
        while lines := await follower.take():
            await _write(stream, lines)
        await _write(stream, msgspec.json.encode(_body(task.result())) + b"\n")
    except (ConnectionError, TimeoutError):
        if request.transport:
            request.transport.abort()
    return stream


async def _write(stream: web.StreamResponse, data: bytes) -> None:
    """Raises TimeoutError for a client that does not read: it holds a place of those that do, and ConnectionError."""
    async with asyncio.timeout(READ_WITHIN_S):
        await stream.write(data)


async def _whole_body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SlotMachineError as error:
        return _outcome(error)
    except web.HTTPException as error:
        reply = _json(ErrorReply(False, error.reason, "", "", []), error.status)
        if "Allow" in error.headers:
            reply.headers["Allow"] = error.headers["Allow"]
        return reply
    except ConnectionError:
        raise
    except Exception as defect:
        log.exception("cannot answer %s %s", request.method, request.path)
        error_in_words = f"unexpected {type(defect).__name__}: {defect}"
        return _json(ErrorReply(False, error_in_words, "", "see the daemon's output", []), 500)


def _origin(request: web.Request) -> str:
    return "cli" if request.headers.get("User-Agent", "").startswith("slot-machine/") else "api"


def _outcome(outcome: Outcome) -> web.Response:
    status = 200 if isinstance(outcome, Done) else STATUSES[type(outcome)]
    reply = _json(_body(outcome), status)
    if isinstance(outcome, Reloading):
        reply.headers["Retry-After"] = "1"
    if isinstance(outcome, Unauthorized):
        reply.headers["WWW-Authenticate"] = "Bearer"
    return reply


def _body(outcome: Outcome) -> Reply | ErrorReply:
    if isinstance(outcome, Done):
        version = outcome.version
        if outcome.kind == "deploy":
            previous = outcome.previous_commit
            return DeployReply(True, version.slot, version.commit, outcome.requests, outcome.warnings, previous)
        return Reply(True, version.slot, version.commit, outcome.requests, outcome.warnings)
    error = "\n".join([str(outcome), *(f"  | {line}" for line in outcome.output)])
    return ErrorReply(False, error, outcome.stage, outcome.hint, list(outcome.output), outcome.warnings)


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
