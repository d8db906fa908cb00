import msgspec
import pytest

from slot_machine.handover.wire import Attend, Inspect, Op, Promote, Request


@pytest.mark.parametrize(
    ("op", "line"),
    [
        (Attend(3, (80,)), b'{"id":1,"op":{"type":"attend","app":3,"ports":[80]}}'),
        (Promote(None), b'{"id":1,"op":{"type":"promote","app":null}}'),
        (Inspect(), b'{"id":1,"op":{"type":"inspect","app":0}}'),
    ],
)
def test_keeper_of_an_earlier_release_is_understood(op: Op, line: bytes) -> None:
    assert msgspec.json.encode(Request(1, op)) == line
    assert msgspec.json.decode(line, type=Request) == Request(1, op)
