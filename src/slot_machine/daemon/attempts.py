"""`POST /deploy`, `/promote`, `/rollback`, `/restart` and `/cancel`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from slot_machine.app.attempt import Report
from slot_machine.app.deployer import Deployer
from slot_machine.app.outcomes import Outcome, Wishes
from slot_machine.core.candidate import WHOLE
from slot_machine.core.errors import BadRequest
from slot_machine.core.model import Kind
from slot_machine.daemon import queue, streams
from slot_machine.daemon.caller import Asked
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.outcomes import line
from slot_machine.daemon.replies import Routes, decoded, in_json
from slot_machine.daemon.streams import NDJSON, Begin, followed, stream

A_SHARE = '{"share": 2.5}'


class DeployBody(Asked, forbid_unknown_fields=True):
    """The other fields are those of `Wishes`. A misspelt `hold` must not let the version go live."""

    commit: str
    setup: bool = False
    if_changed: bool = False
    hold: bool = False
    hold_after_release: bool = False
    if_known: bool = False
    wait: bool = False
    """Whether it waits until another deploy has ended."""
    detach: bool = False


class PromoteBody(Asked, forbid_unknown_fields=True):
    """`share`: so many per cent of the visitors get the candidate; it is live if all of them do, as without it."""

    share: Annotated[float, msgspec.Meta(ge=0.01, le=100)] = 100
    detach: bool = False
    """Whether the answer comes at the switch, if the version is watched then."""


class RollbackBody(Asked):
    """`to` is empty for the previous version."""

    to: str | int = ""


class CancelBody(msgspec.Struct):
    force: bool = False


class CancelReply(msgspec.Struct):
    """What was cancelled, and in which stage."""

    success: bool
    kind: Kind
    commit: str
    stage: str


def routes(deployer: Deployer, guard: Guard, renew: Callable[[], Awaitable[list[str]]]) -> Routes:
    """`renew` reloads if the daemon's file has changed; then it raises Reloading. Else it returns warnings."""
    handlers = _Handlers(deployer, guard, renew)
    return {
        "/deploy": ("POST", handlers.deploy),
        "/promote": ("POST", handlers.promote),
        "/rollback": ("POST", handlers.rollback),
        "/restart": ("POST", handlers.restart),
        "/cancel": ("POST", handlers.cancel),
    }


@dataclass(frozen=True)
class _Handlers:
    _deployer: Deployer
    _guard: Guard
    _renew: Callable[[], Awaitable[list[str]]]

    async def deploy(self, request: Request) -> Response:
        body = decoded(await request.body(), DeployBody, '{"commit": "HEAD"}')
        after_release = body.hold_after_release
        wishes = Wishes(
            body.setup, body.if_changed, body.hold or after_release, after_release, body.if_known, detach=body.detach
        )
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)

        def begin(report: Report) -> "asyncio.Task[Outcome]":
            return self._deployer.deploy(body.commit, trigger, report, wishes, origin)

        if body.wait and (operations := self._deployer.operations).busy:
            if NDJSON in request.first("accept"):
                return stream(queue.stream(operations, request, line, lambda: followed(begin)))
            await queue.turn(operations, request)
        return await self._answered(request, begin)

    async def promote(self, request: Request) -> Response:
        body = decoded(await request.body() or b"{}", PromoteBody, A_SHARE)
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)
        share = round(body.share * WHOLE / 100)
        if share * 100 / WHOLE != body.share:
            raise BadRequest(f"bad body: {body.share} is no share with at most two decimals", f"send {A_SHARE}")

        def begin(report: Report) -> "asyncio.Task[Outcome]":
            if share == WHOLE:
                return self._deployer.promote(trigger, report, origin, detach=body.detach)
            return self._deployer.share(share, trigger, report, origin)

        return await self._answered(request, begin)

    async def rollback(self, request: Request) -> Response:
        body = decoded(await request.body() or b"{}", RollbackBody, '{"to": "12"}')
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)
        to = str(body.to)
        return await self._answered(request, lambda report: self._deployer.rollback(trigger, report, origin, to))

    async def restart(self, request: Request) -> Response:
        """If the daemon's file has changed, it reloads first, and the client is to ask again."""
        body = decoded(await request.body() or b"{}", Asked, '{"by": "somebody"}')
        trigger, origin = body.trigger(request), await body.origin(request, self._guard)
        warnings = await self._renew()
        return await self._answered(request, lambda report: self._deployer.restart(trigger, report, warnings, origin))

    async def cancel(self, request: Request) -> Response:
        body = decoded(await request.body() or b"{}", CancelBody, '{"force": true}')
        cancelled = await self._deployer.operations.cancel(force=body.force)
        return in_json(CancelReply(True, cancelled.kind, cancelled.commit, cancelled.stage), 200)

    async def _answered(self, request: Request, begin: Begin) -> Response:
        return await streams.answered(request, begin, self._guard.app)
