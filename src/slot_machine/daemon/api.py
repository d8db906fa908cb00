"""The HTTP API: which handler a request gets, and what is answered if that fails."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from slot_machine.app.deployer import Deployer
from slot_machine.core.errors import SlotMachineError
from slot_machine.daemon import attempts, history, metrics
from slot_machine.daemon.connection import NO_FIELDS, HttpError, Request, Response
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.outcomes import ErrorReply, response
from slot_machine.daemon.replies import NO_ROUTES, Handler, Routes, in_json
from slot_machine.daemon.status import Status

log = logging.getLogger(__name__)


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
        self._guard = guard
        self._handlers: dict[str, tuple[str, Handler]] = {
            "/": ("GET", self._ready),
            "/status": ("GET", self._get_status),
            "/metrics": ("GET", self._get_metrics),
            "/history": ("GET", self._get_history),
            "/reload": ("POST", self._post_reload),
            **attempts.routes(deployer, guard, renew),
            **more,
        }

    async def answer(self, request: Request) -> Response:
        """Raises ConnectionError if the client has left."""
        try:
            await self._guard.check(request)
            return await self._handler(request)(request)
        except SlotMachineError as error:
            return response(error)
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
        return in_json(status.fields(), 200)

    async def _get_metrics(self, _: Request) -> Response:
        return Response(200, await self._measure(), metrics.CONTENT_TYPE)

    async def _get_history(self, request: Request) -> Response:
        return in_json(history.entries(self._deployer.attempts, request.target), 200)

    async def _get_attempt(self, request: Request) -> Response:
        return in_json(history.entry(self._deployer.attempts, request.target), 200)

    async def _post_reload(self, _: Request) -> Response:
        """The answer comes before the reload. `reloads` in the status tells when that is done."""
        await self._reload()
        return in_json({"success": True}, 202)
