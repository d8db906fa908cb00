"""Requests that wait for their turn, name a version to go back to, or come from inside of a deploy."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import h11
import pytest

from slot_machine.app.attempt import Report
from slot_machine.app.operations import Operations
from slot_machine.app.outcomes import Done, Outcome
from slot_machine.core.errors import Stopping
from slot_machine.core.model import Progress, Version
from slot_machine.daemon.api import Api
from slot_machine.daemon.connection import Connection, Request, Response
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.streams import NDJSON

DATA = Path("/srv/shop/.slot-machine")


class Client:
    """In place of its connection."""

    socket = None

    def __init__(self, body: dict[str, object]) -> None:
        self.gone = asyncio.Event()
        self._body = json.dumps(body).encode()

    async def body(self) -> bytes:
        return self._body

    async def left(self) -> None:
        await self.gone.wait()


class Deployer:
    """Each deploy ends when `end` is called."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.operations = Operations(tasks)
        self.begun: list[str] = []
        self._ended = asyncio.Event()

    def deploy(self, commit: str, _trigger: str, report: Report, *_: object) -> "asyncio.Task[Outcome]":
        self.operations.check_free()

        async def story() -> Done:
            report(Progress(event="started", stage="checkout", message=""))
            await self._ended.wait()
            self._ended.clear()
            return Done("deploy", Version("a", commit), "")

        self.begun.append(commit)
        return self.operations.begin(story())

    def rollback(self, trigger: str, report: Report, _origin: object, to: str) -> "asyncio.Task[Outcome]":
        return self.deploy(f"back to {to}", trigger, report)

    def end(self) -> None:
        self._ended.set()


class Told:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.deployer = Deployer(tasks)
        unused: Any = None
        told: Any = self.deployer
        self._api = Api(told, unused, unused, unused, unused, Guard(DATA, authenticates=False))
        self._tasks = tasks

    def ask(self, path: str, client: Client, accept: str = "") -> "asyncio.Task[Response]":
        head = h11.Request(method="POST", target=path, headers=[("Host", "localhost"), ("Accept", accept)])
        return self._tasks.create_task(self._api.answer(Request(head, cast(Connection, client))))

    async def first(self) -> "asyncio.Task[Response]":
        """A deploy that runs."""
        first = self.ask("/deploy", Client({"commit": "first"}))
        while not self.deployer.begun:  # noqa: ASYNC110 - the next iterations of the loop begin it
            await asyncio.sleep(0)
        return first


def tell(story: Callable[[Told], Awaitable[None]]) -> None:
    async def told() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            await story(Told(tasks))

    asyncio.run(told())


def wait_for(commit: str) -> Client:
    return Client({"commit": commit, "wait": True})


async def lines(response: Response) -> AsyncGenerator[dict[str, object], None]:
    assert isinstance(response.body, AsyncGenerator)
    async for piece in response.body:
        for line in piece.splitlines():
            yield json.loads(line)


def body(response: Response) -> dict[str, object]:
    assert isinstance(response.body, bytes)
    found: dict[str, object] = json.loads(response.body)
    return found


def test_stream_says_what_it_waits_for_and_goes_on_with_the_deploy() -> None:
    async def story(told: Told) -> None:
        first = await told.first()
        waiting = lines(await told.ask("/deploy", wait_for("second"), NDJSON))
        begun = await anext(waiting)
        assert (begun["event"], begun["stage"]) == ("started", "wait")
        told.deployer.end()
        assert [(line["event"], line["stage"]) for line in [await anext(waiting), await anext(waiting)]] == [
            ("finished", "wait"),
            ("started", "checkout"),
        ]
        told.deployer.end()
        (reply,) = [line async for line in waiting]
        assert (reply["success"], reply["commit"]) == (True, "second")
        assert (await first).status == 200

    tell(story)


@pytest.mark.parametrize("accept", ["", NDJSON])
def test_overtaken_deploy_is_not_begun(accept: str) -> None:
    async def story(told: Told) -> None:
        await told.first()
        older = told.ask("/deploy", wait_for("older"), accept)
        if accept:
            waiting = lines(await older)
            await anext(waiting)
            failing = asyncio.ensure_future(anext(waiting))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        newer = told.ask("/deploy", wait_for("newer"))
        if accept:
            assert ((await failing)["event"], (await anext(waiting))["success"]) == ("failed", False)
        else:
            assert ((await older).status, body(await older)["success"]) == (409, False)
        told.deployer.end()
        while len(told.deployer.begun) < 2:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)
        told.deployer.end()
        assert (await newer).status == 200
        assert told.deployer.begun == ["first", "newer"]

    tell(story)


@pytest.mark.parametrize("accept", ["", NDJSON])
def test_place_ends_with_its_connection(accept: str) -> None:
    async def story(told: Told) -> None:
        await told.first()
        client = wait_for("second")
        asked = asyncio.ensure_future(answered(told, client, accept))
        for _ in range(9):
            await asyncio.sleep(0)
        client.gone.set()
        with pytest.raises(ConnectionError):
            await asked
        told.deployer.end()
        await told.deployer.operations.idle()
        assert told.deployer.begun == ["first"]

    tell(story)


async def answered(told: Told, client: Client, accept: str) -> None:
    head = h11.Request(method="POST", target="/deploy", headers=[("Host", "localhost"), ("Accept", accept)])
    response = await told._api.answer(Request(head, cast(Connection, client)))
    if accept:
        async for _ in lines(response):
            pass


def test_stop_of_the_daemon_is_told() -> None:
    async def story(told: Told) -> None:
        await told.first()
        waiting = told.ask("/deploy", wait_for("second"))
        for _ in range(9):
            await asyncio.sleep(0)
        told.deployer.operations.refuse_more(Stopping)
        assert (await waiting).status == 503
        assert "was not begun" in str(body(await waiting)["error"])
        told.deployer.end()

    tell(story)


@pytest.mark.parametrize(("to", "asked"), [({"to": 12}, "12"), ({"to": "c0ffee"}, "c0ffee"), ({}, "")])
def test_rollback_names_its_version(to: dict[str, object], asked: str) -> None:
    async def story(told: Told) -> None:
        replying = told.ask("/rollback", Client(to))
        told.deployer.end()
        assert (await replying).status == 200
        assert told.deployer.begun == [f"back to {asked}"]

    tell(story)


@pytest.mark.parametrize("path", ["/deploy", "/rollback", "/restart"])
def test_request_from_inside_of_an_attempt_is_refused_at_once(path: str) -> None:
    async def story(told: Told) -> None:
        inside = {"attempt": "7", "data": str(DATA)}
        refused = await told.ask(path, Client({"commit": "HEAD", "wait": True, "inside": inside}))
        assert refused.status == 409
        assert "attempt 7" in str(body(refused)["error"])
        assert told.deployer.begun == []
        another = told.ask(
            "/deploy", Client({"commit": "HEAD", "inside": inside | {"data": "/srv/blog/.slot-machine"}})
        )
        told.deployer.end()
        assert (await another).status == 200, "that of another daemon"

    tell(story)
