import pytest

from slot_machine.core.kept_output import FIRST_BYTES, LAST_BYTES, KeptOutput


def test_output_is_kept_by_stage_in_order() -> None:
    kept = KeptOutput()
    for stage, piece in (("setup", b"one\n"), ("setup", b"two\n"), ("build", b"three\n")):
        kept.add(stage, piece)

    assert kept.texts() == {"setup": b"one\ntwo\n", "build": b"three\n"}


@pytest.mark.parametrize("size", [1000, 65_536, 3_000_000])
def test_of_a_long_output_begin_and_end_are_kept_and_the_gap_is_told(size: int) -> None:
    kept, whole = KeptOutput(), b"".join(b"line %7d\n" % number for number in range(200_000))

    for first in range(0, len(whole), size):
        kept.add("setup", whole[first : first + size])
    begin, gap, end = kept.texts()["setup"].partition(
        b"\n... %d bytes left out ...\n" % (len(whole) - FIRST_BYTES - LAST_BYTES)
    )

    assert gap
    assert (begin, end) == (whole[:FIRST_BYTES], whole[-LAST_BYTES:])


def test_nothing_is_left_out_of_what_fits() -> None:
    kept, whole = KeptOutput(), bytes(FIRST_BYTES + LAST_BYTES)
    kept.add("setup", whole)

    assert kept.texts()["setup"] == whole
