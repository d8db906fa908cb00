"""What waits for a client that follows a deploy."""

import asyncio
import json

from slot_machine.core.model import Printed, Progress
from slot_machine.daemon.follower import MOST_WAITING_BYTES, Follower

Line = dict[str, object]


def test_output_that_finds_no_room_is_left_out_and_counted() -> None:
    async def run() -> tuple[list[Line], list[Line]]:
        follower = Follower()
        for _ in range(2 * MOST_WAITING_BYTES // 1000):
            follower.report(printed(b"x" * 999 + b"\n"))
        follower.report(Progress(event="finished", stage="setup", message=""))
        first = parsed(await follower.take())
        follower.report(printed(b"more\n"))
        return first, parsed(await follower.take())

    first, more = asyncio.run(run())

    *whole, note, end = first
    assert len(whole) * 1000 <= MOST_WAITING_BYTES
    assert note["message"] == (
        f"... {2 * MOST_WAITING_BYTES // 1000 - len(whole)} lines left out: they came faster than they were read"
    )
    assert end["event"] == "finished"
    assert [line["message"] for line in more] == ["more"]


def test_nothing_waits_for_a_client_that_has_left() -> None:
    async def run() -> bytes:
        follower = Follower()
        follower.close()
        follower.report(printed(b"x\n"))
        return await follower.take()

    assert asyncio.run(run()) == b""


def test_end_before_the_commit_is_resolved() -> None:
    async def run() -> bool:
        follower = Follower()
        follower.report(Progress(event="failed", stage="resolve", message=""))
        follower.close()
        return await follower.resolved()

    assert asyncio.run(run()) is False


def test_line_without_an_end_is_told_before_what_follows() -> None:
    async def run() -> list[Line]:
        follower = Follower()
        follower.report(printed(b"one\ntw"))
        follower.report(printed(b"o"))
        follower.report(Progress(event="finished", stage="setup", message=""))
        return parsed(await follower.take())

    assert [line["message"] for line in asyncio.run(run())] == ["one", "two", ""]


def printed(piece: bytes) -> Printed:
    return Printed(piece, "setup", 0)


def parsed(lines: bytes) -> list[Line]:
    return [json.loads(line) for line in lines.splitlines()]
