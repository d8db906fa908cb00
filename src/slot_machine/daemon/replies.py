"""What the API's routes share: bodies of requests, and replies in JSON."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from slot_machine.core.errors import BadRequest
from slot_machine.daemon.connection import NO_FIELDS, Request, Response

JSON = "application/json"

T = TypeVar("T")

Handler = Callable[[Request], Awaitable[Response]]
Routes = Mapping[str, tuple[str, Handler]]
"""By path, the method and its handler."""

NO_ROUTES: Routes = {}


def decoded(body: bytes, shape: type[T], example: str) -> T:
    """Raises BadRequest."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"bad body: {error}", f"send {example}") from None


def in_json(body: object, status: int, fields: Mapping[str, str] = NO_FIELDS) -> Response:
    return Response(status, msgspec.json.encode(body), JSON, fields)


def viewed(path: str, view: Callable[[str], Awaitable[object]]) -> Routes:
    """A GET of `path` is answered with what `view` returns for the request's target. It raises SlotMachineError."""

    async def answer(request: Request) -> Response:
        return in_json(await view(request.target), 200)

    return {path: ("GET", answer)}
