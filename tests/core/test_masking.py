import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.masking import MOST_HELD_BYTES, MaskedStream, Masking

SECRET = "s3cr3t-t0ken"


def masking(**variables: str) -> Masking:
    made = Masking()
    made.learn(variables)
    return made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"cannot connect with {SECRET}", "cannot connect with [KEY]"),
        (f"{SECRET}{SECRET}", "[KEY][KEY]"),
        ("debug=true on 3000", "debug=true on 3000"),
        ("postgres://me:pw@db/shop is down", "[URL] is down"),
        ("the part me:pw@db alone", "the part [HOST] alone"),
        ("first line of it", "[PEM]"),
    ],
)
def test_value_is_replaced_by_the_name_of_its_variable(text: str, shown: str) -> None:
    known = masking(
        KEY=SECRET,
        DEBUG="true",
        PORT="3000",
        HOST="me:pw@db",
        URL="postgres://me:pw@db/shop",
        PEM="first line of it\n  and its second\n",
    )

    assert known.text(text) == shown
    assert known.output(text.encode()) == shown.encode()


def test_value_that_has_changed_stays_hidden() -> None:
    known = masking(KEY=SECRET)
    known.learn({"KEY": "another-one", "LONGER": f"{SECRET}-and-more"})

    assert known.text(f"{SECRET} another-one {SECRET}-and-more") == "[KEY] [KEY] [LONGER]"


def test_value_that_is_no_text_is_hidden() -> None:
    value = b"\xff\xfe12345678".decode(errors="surrogateescape")

    assert masking(KEY=value).output(b"it is \xff\xfe12345678\n") == b"it is [KEY]\n"


@given(st.lists(st.sampled_from([SECRET[:5], SECRET[5:], SECRET, "\n", "harmless "])), st.integers(1, 7))
def test_pieces_of_an_output_show_what_the_whole_shows(parts: list[str], size: int) -> None:
    known, output = masking(KEY=SECRET), "".join(parts).encode()
    stream = MaskedStream(known)

    pieces = [stream.feed(output[first : first + size]) for first in range(0, len(output), size)]

    assert b"".join([*pieces, stream.rest()]) == known.output(output)


def test_endless_line_is_not_held_and_shows_no_value_at_a_cut() -> None:
    stream, endless = MaskedStream(masking(KEY=SECRET)), b"x" * MOST_HELD_BYTES
    secret = SECRET.encode()

    first = stream.feed(endless + secret[:6])
    second = stream.feed(secret[6:] + endless)

    assert len(first) > len(endless) - 20
    assert SECRET.encode()[:6] not in first
    assert (first + second + stream.rest()) == endless + b"[KEY]" + endless
