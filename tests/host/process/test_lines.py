"""Lines of a command: none longer than the bound, however the bytes arrive."""

from hypothesis import given
from hypothesis import strategies as st

from slot_machine.host.process.lines import LONGEST_LINE_BYTES, Lines


@given(st.lists(st.text("ab\r\n", max_size=9).map(str.encode)))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    expected = [line.rstrip("\r") for line in b"".join(pieces).decode().split("\n")]
    if not b"".join(pieces).rpartition(b"\n")[2]:
        expected.pop()

    assert fed(*pieces) == expected


def test_rest_of_a_longer_line_is_left_out() -> None:
    whole = "x" * LONGEST_LINE_BYTES
    piece = b"x" * (LONGEST_LINE_BYTES - 1)

    assert fed(piece, b"x\n", piece, b"xy", b"yy\nz") == [whole, f"{whole} ... (3 bytes more)", "z"]


def fed(*pieces: bytes) -> list[str]:
    lines = Lines()
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.rest())
