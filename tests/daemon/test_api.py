"""Requests to calls of the deployer, and outcomes to replies, with a deployer that does as it is told."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NamedTuple, cast

import h11
import pytest

from slot_machine.app.attempt import Report
from slot_machine.app.outcomes import PLAIN, Done, Outcome, Unchanged, Wishes
from slot_machine.core.errors import CommitNotFound, Refused, Reloading, SlotMachineError, StageFailed
from slot_machine.core.model import Printed, Progress, Version
from slot_machine.core.origin import UNKNOWN, Origin
from slot_machine.daemon.api import Api
from slot_machine.daemon.candidates import CandidateStatus
from slot_machine.daemon.connection import Connection, Request, Response
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.outcomes import STATUSES
from slot_machine.daemon.streams import NDJSON

BODY = b'{"commit": "HEAD"}'


class Sent:
    """In place of a connection."""

    socket = None

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def body(self) -> bytes:
        return self._body


class Deployer:
    """Its deploys print until they are told their outcome."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.wishes: list[Wishes] = []
        self.origins: list[Origin] = []
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def deploy(
        self, commit: str, trigger: str, report: Report, wishes: Wishes = PLAIN, origin: Origin = UNKNOWN
    ) -> "asyncio.Task[Outcome]":
        async def story() -> Outcome:
            if commit == "HEAD":
                report(Progress(event="started", stage="checkout", message=""))
            while not self.outcome.done():
                report(Printed(b"line\n", "setup", 0))
                await asyncio.sleep(0)
            return self.outcome.result()

        self.calls.append((commit, trigger))
        self.wishes.append(wishes)
        self.origins.append(origin)
        self.task = asyncio.create_task(story())
        return self.task


def asked(method: str, target: str, body: bytes = b"", **fields: str) -> Request:
    headers = [("Host", "localhost"), *((name.replace("_", "-"), value) for name, value in fields.items())]
    head = h11.Request(method=method, target=target, headers=headers)
    return Request(head, cast(Connection, Sent(body)))


def api_with(deployer: Deployer) -> Api:
    unused: Any = None
    told: Any = deployer
    return Api(told, unused, unused, unused, unused, Guard(Path(), authenticates=False))


async def answered(request: Request) -> Response:
    return await api_with(Deployer()).answer(request)


def outcome() -> Done:
    return Done("deploy", Version("a", "c0ffee"), "")


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("GET", "/?a=1", 200, None),
        ("HEAD", "/", 200, None),
        ("GET", "/nothing", 404, None),
        ("GET", "/deploy", 405, "POST"),
        ("POST", "/status", 405, "GET,HEAD"),
        ("BREW", "/", 405, "GET,HEAD"),
    ],
)
def test_way_to_a_handler(method: str, target: str, status: int, allow: str | None) -> None:
    reply = asyncio.run(answered(asked(method, target)))

    assert (reply.status, reply.fields.get("Allow")) == (status, allow)


@pytest.mark.parametrize(("agent", "trigger"), [("slot-machine/0.1", "cli"), ("curl/8", "api")])
def test_trigger_is_told_by_who_asks(agent: str, trigger: str) -> None:
    async def story() -> None:
        deployer = Deployer()
        deployer.outcome.set_result(outcome())
        reply = await api_with(deployer).answer(asked("POST", "/deploy", BODY, User_Agent=agent))
        assert isinstance(reply.body, bytes)
        assert (reply.status, json.loads(reply.body)["commit"]) == (200, "c0ffee")
        assert deployer.calls == [("HEAD", trigger)]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("said", "trigger", "origin"),
    [
        ({}, "api", Origin()),
        ({"by": "ada", "message": "why", "ref": "main"}, "api", Origin("ada", "why", "main")),
        ({"job": "nightly"}, "schedule", Origin("job nightly")),
    ],
)
def test_origin_is_what_the_caller_says(said: dict[str, str], trigger: str, origin: Origin) -> None:
    async def story() -> None:
        deployer = Deployer()
        deployer.outcome.set_result(outcome())
        await api_with(deployer).answer(asked("POST", "/deploy", json.dumps({"commit": "HEAD"} | said).encode()))
        assert (deployer.calls, deployer.origins) == ([("HEAD", trigger)], [origin])

    asyncio.run(story())


def test_who_is_not_a_book() -> None:
    body = json.dumps({"commit": "HEAD", "by": "x" * 201}).encode()

    assert asyncio.run(answered(asked("POST", "/deploy", body))).status == 400


def test_refusal_to_come_again_later() -> None:
    async def story() -> Response:
        deployer = Deployer()
        deployer.outcome.set_result(Reloading())
        return await api_with(deployer).answer(asked("POST", "/deploy", BODY))

    reply = asyncio.run(story())

    assert (reply.status, reply.fields["Retry-After"]) == (503, "1")


def test_stream_begins_only_when_the_commit_is_known() -> None:
    async def story() -> Response:
        deployer = Deployer()
        deployer.outcome.set_result(CommitNotFound("nothing"))
        return await api_with(deployer).answer(asked("POST", "/deploy", b'{"commit": "x"}', Accept=NDJSON))

    reply = asyncio.run(story())

    assert (reply.status, reply.content_type) == (422, "application/json")


def test_deploy_goes_on_when_whoever_follows_it_leaves() -> None:
    async def story() -> None:
        deployer = Deployer()
        reply = await api_with(deployer).answer(asked("POST", "/deploy", BODY, Accept=NDJSON))
        stream = cast(AsyncGenerator[bytes, None], reply.body)
        assert json.loads((await anext(stream)).splitlines()[0])["stage"] == "checkout"
        await stream.aclose()
        await asyncio.sleep(0)
        assert not deployer.task.done()
        deployer.outcome.set_result(outcome())
        assert isinstance(await deployer.task, Done)

    asyncio.run(story())


def test_stream_ends_with_the_reply() -> None:
    async def story() -> None:
        deployer = Deployer()
        reply = await api_with(deployer).answer(asked("POST", "/deploy", BODY, Accept=NDJSON))
        deployer.outcome.set_result(outcome())
        lines = b"".join([piece async for piece in cast(AsyncGenerator[bytes, None], reply.body)]).splitlines()
        assert json.loads(lines[-1])["success"] is True
        assert all("event" in json.loads(line) for line in lines[:-1])

    asyncio.run(story())


def test_body_that_is_nested_too_deeply_is_malformed() -> None:
    body = b'{"x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"

    assert asyncio.run(answered(asked("POST", "/deploy", body))).status == 400


def test_wishes_of_a_deploy_are_passed_on() -> None:
    async def story() -> None:
        deployer = Deployer()
        deployer.outcome.set_result(Unchanged(Version("a", "c0ffee"), "decaf"))
        fields = ("setup", "if_known", "if_changed", "hold", "hold_after_release")
        for more in ("", *(f', "{field}": true' for field in fields)):
            body = f'{{"commit": "HEAD"{more}}}'.encode()
            reply = await api_with(deployer).answer(asked("POST", "/deploy", body))
        assert deployer.wishes == [
            Wishes(),
            Wishes(force_setup=True),
            Wishes(if_known=True),
            Wishes(if_changed=True),
            Wishes(hold=True),
            Wishes(hold=True, hold_after_release=True),
        ]
        assert reply.status == 200
        assert isinstance(reply.body, bytes)
        assert json.loads(reply.body) == {
            "success": True,
            "slot": "a",
            "commit": "c0ffee",
            "requests": "",
            "warnings": [],
            "previous_commit": "decaf",
            "already_live": True,
        }

    asyncio.run(story())


def test_reply_says_whether_the_commit_is_lacking() -> None:
    async def story(error: SlotMachineError) -> object:
        deployer = Deployer()
        deployer.outcome.set_result(error)
        reply = await api_with(deployer).answer(asked("POST", "/deploy", BODY))
        assert isinstance(reply.body, bytes)
        return json.loads(reply.body)["lacks_commit"]

    assert asyncio.run(story(CommitNotFound("no commit"))) is True
    assert asyncio.run(story(Reloading())) is False


@pytest.mark.parametrize(
    ("authenticates", "fields", "told"),
    [(True, {}, ""), (True, {"Authorization": "Bearer x"}, ""), (False, {}, "link")],
)
def test_the_link_of_a_preview_is_told_to_those_who_may_change_things(
    authenticates: bool, fields: dict[str, str], told: str
) -> None:
    class Told(NamedTuple):
        candidate: CandidateStatus

        def fields(self) -> dict[str, object]:
            return self._asdict()

    unused: Any = None
    status: Any = lambda: Told(CandidateStatus(preview_url="link"))  # noqa: E731
    guard = Guard(Path("/nowhere"), authenticates=authenticates)
    reply = asyncio.run(
        Api(unused, status, unused, unused, unused, guard).answer(asked("GET", "/status", b"", **fields))
    )
    assert isinstance(reply.body, bytes)
    assert json.loads(reply.body)["candidate"]["preview_url"] == told


def test_each_error_that_ends_a_request_has_a_status() -> None:
    def tree(error: type[SlotMachineError]) -> set[type[SlotMachineError]]:
        return {error}.union(*map(tree, error.__subclasses__()))

    assert (tree(Refused) | tree(StageFailed)) - {Refused} <= STATUSES.keys()
