"""`POST /push`: what git's hook asks for when somebody pushes. The reply says what became of each branch."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated

import msgspec

from slot_machine.app.outcomes import Outcome
from slot_machine.app.pushes import Pushes, Update
from slot_machine.core.errors import Refused, Reloading
from slot_machine.daemon import queue
from slot_machine.daemon.caller import Asked
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.follower import Follower
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.outcomes import body_of
from slot_machine.daemon.replies import Routes, decoded
from slot_machine.daemon.streams import NDJSON
from slot_machine.host.git.branches import short_name

Hash = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})\Z")]
Ref = Annotated[str, msgspec.Meta(pattern=r"^refs/[^\0\n]+\Z")]
EXAMPLE = '{"updates": [{"ref": "refs/heads/main", "old": "HASH", "new": "HASH"}]}'


class UpdateBody(msgspec.Struct):
    """Hashes of zeros stand for a branch that does not exist before, or after."""

    ref: Ref
    old: Hash
    new: Hash


class PushBody(Asked):
    """`wait`: until another deploy has ended. `atomic`: all or none of the branches are to be updated."""

    updates: Annotated[list[UpdateBody], msgspec.Meta(min_length=1)]
    wait: bool = False
    atomic: bool = False


class Branches(msgspec.Struct):
    """What the reply to a push has beside that of a deploy."""

    branch: str
    """The deployed branch."""
    deployed: bool
    """Whether the push updates it. If not, nothing was deployed."""
    refused: dict[str, str]
    """By name of the ref, why a branch that is only stored can't be updated."""


def routes(pushes: Pushes, guard: Guard) -> Routes:
    async def push(request: Request) -> Response:
        body = decoded(await request.body(), PushBody, EXAMPLE)
        origin = await body.origin(request, guard)
        plan = await pushes.plan([Update(each.ref, each.old, each.new) for each in body.updates], atomic=body.atomic)
        branches = Branches(short_name(plan.branch), plan.deployed is not None, await pushes.refusals(plan.others))
        if not plan.deployed:
            return Response(200, _line(branches), NDJSON)
        operations = pushes.operations
        waits = body.wait and operations.busy

        def begun() -> AsyncGenerator[bytes, None]:
            """Raises Busy, Stopping."""
            follower = Follower(guard.app)
            task = pushes.begin(plan, follower.report, origin, waited=waits)
            task.add_done_callback(lambda _: follower.close())
            return _progress(follower, task, branches)

        try:
            stream = queue.stream(operations, request, partial(_line, branches), begun) if waits else begun()
        except Reloading:
            raise  # The client asks again by itself.
        except Refused as refusal:
            return Response(200, _line(branches, refusal), NDJSON)
        return Response(200, stream, NDJSON)

    return {"/push": ("POST", push)}


async def _progress(
    follower: Follower, task: "asyncio.Task[Outcome]", branches: Branches
) -> AsyncGenerator[bytes, None]:
    try:
        while lines := await follower.take():
            yield lines
        yield _line(branches, task.result())
    finally:
        follower.close()


def _line(branches: Branches, outcome: Outcome | None = None) -> bytes:
    body: dict[str, object] = msgspec.to_builtins(body_of(outcome)) if outcome else {"success": True}
    return msgspec.json.encode(body | msgspec.to_builtins(branches)) + b"\n"
