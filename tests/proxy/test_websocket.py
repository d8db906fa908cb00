"""The ends of frames, against frames built by the `websockets` library."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from slot_machine.proxy.websocket import GOING_AWAY, Frames

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
