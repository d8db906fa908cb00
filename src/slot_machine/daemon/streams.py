"""Streams the progress of an attempt to the client that asked for it, line by line."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from slot_machine.app.attempt import Report
from slot_machine.app.outcomes import Outcome
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.follower import Follower
from slot_machine.daemon.keepalive import kept_alive
from slot_machine.daemon.outcomes import line, response

NDJSON = "application/x-ndjson"

Begin = Callable[[Report], "asyncio.Task[Outcome]"]
"""Begins an operation that tells its progress."""


async def answered(request: Request, begin: Begin, app: str) -> Response:
    """Answers when the operation has ended, or streams its progress. The operation goes on if the client leaves.

    The head of a stream is kept back until the commit is resolved, so that a refusal has its own status.
    """
    if NDJSON not in request.first("accept"):
        return response(await asyncio.shield(begin(lambda _: None)))
    follower = Follower(app)
    task = begin(follower.report)
    task.add_done_callback(lambda _: follower.close())
    if not await follower.resolved():
        return response(task.result())
    return stream(_progress(follower, task))


def stream(lines: AsyncGenerator[bytes, None]) -> Response:
    return Response(200, kept_alive(lines), NDJSON)


def followed(begin: Begin) -> AsyncGenerator[bytes, None]:
    """Begins an operation at once, and streams all of its progress."""
    follower = Follower()
    task = begin(follower.report)
    task.add_done_callback(lambda _: follower.close())
    return _progress(follower, task)


async def _progress(follower: Follower, task: "asyncio.Task[Outcome]") -> AsyncGenerator[bytes, None]:
    try:
        while lines := await follower.take():
            yield lines
        yield line(task.result())
    finally:
        follower.close()
