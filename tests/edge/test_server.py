"""What the edge answers to those who connect to its socket: any user of the machine may."""

import asyncio
from typing import cast

import pytest

from slot_machine.edge.edge import Edge
from slot_machine.edge.server import Server


@pytest.mark.parametrize("line", [b"{", b"\xff", b'{"op": 1}', b'{"op": "status", "x": ' + b"[" * 60_000])
def test_what_is_no_request_is_answered(line: bytes) -> None:
    reply = asyncio.run(Server(cast(Edge, None)).answer(1000, line))

    assert reply.error.startswith("not understood: ")
