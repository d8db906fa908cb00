"""The ends of frames, against frames built by the `websockets` library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from slot_machine.proxy.websocket import GOING_AWAY, Frames
from tests.proxy.costs import steps

FRAMES = st.builds(
    lambda data, text: Frame(Opcode.TEXT if text else Opcode.BINARY, data).serialize(mask=False),
    st.one_of(st.binary(max_size=130), st.sampled_from([b"x" * 65_535, b"x" * 65_536])),
    st.booleans(),
)


@given(st.lists(FRAMES, min_size=1, max_size=3), st.integers(0, 200_000))
def test_between_frames_exactly_where_one_ends(frames: list[bytes], cut: int) -> None:
    data = b"".join(frames)
    ends = [len(b"".join(frames[:number])) for number in range(len(frames) + 1)]
    cut %= len(data) + 1
    followed = Frames()
    followed.feed(data[:cut])
    assert followed.between_frames == (cut in ends)
    followed.feed(data[cut:])
    assert followed.between_frames
    assert not followed.closed


def test_a_server_that_says_good_bye() -> None:
    followed = Frames()
    followed.feed(GOING_AWAY)
    assert followed.closed


@pytest.mark.parametrize("before", [b"", b"\x81\x01x" * 3])
def test_a_good_bye_behind_other_frames_in_any_split(before: bytes) -> None:
    data = before + GOING_AWAY + before
    for cut in range(len(data) + 1):
        followed = Frames()
        followed.feed(data[:cut])
        assert followed.closed == (cut >= len(before) + 2), "its head is there"
        followed.feed(data[cut:])
        assert followed.closed
        assert followed.between_frames


@pytest.mark.parametrize("size", [0, 1, 125])
def test_short_frames_cost_no_step_of_python_each(size: int) -> None:
    frames = (bytes([0x81, size]) + b"x" * size) * 10_000
    assert steps(lambda: Frames().feed(frames)) < 200
