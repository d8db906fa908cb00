"""Changes in `env_file`: what is set is read again, and all else stays byte for byte."""

import contextlib
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slot_machine.core.errors import EnvFileError
from slot_machine.host.process.env_file import (
    BadLine,
    decoded,
    variables,
    with_variable,
    without_variable,
    written,
)

VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30) | st.text(
    "ab'\"\\ #\n\r\t$`=", max_size=12
)
NAMES = st.sampled_from(["A", "B", "LONGER_NAME", "_x", "C9"])
ENDS = st.sampled_from(["\n", "\r\n"])
ANY_FORM = st.one_of(
    st.from_regex(r"\A[a-z./:@-]{0,8}\Z"),
    st.from_regex(r"\A'[a-z \"#$]{0,8}'\Z"),
    st.from_regex(r'\A"[a-z \'#$]{0,8}(\\n|\\"|\\\\){0,2}[a-z]{0,3}"\Z'),
)
LINES = st.one_of(
    st.from_regex(r"\A#[ a-z'\"=]{0,10}\Z"),
    st.just(""),
    st.sampled_from(["NO_VALUE", "  ", "export D=1", "D = spaced # note", "D= # note", "D=#novalue"]),
    st.builds(
        "{}{}={}{}".format, st.sampled_from(["", "export ", "  "]), NAMES, ANY_FORM, st.sampled_from(["", "  # it's"])
    ),
)
FILES = st.builds(
    lambda mark, lines, end, last: mark + end.join(lines) + (end if last else ""),
    st.sampled_from(["", "\ufeff"]),
    st.lists(LINES, max_size=8),
    ENDS,
    st.booleans(),
)


def sound(text: str) -> dict[str, str] | None:
    with contextlib.suppress(BadLine):
        return variables(text)
    return None


@settings(max_examples=60)
@given(FILES, NAMES, VALUES)
def test_what_is_set_is_read_again_and_nothing_else_changes(text: str, name: str, value: str) -> None:
    before = sound(text)
    if before is None:
        return
    after = with_variable(text, name, value)

    assert variables(after) == before | {name: value}
    assert with_variable(after, name, value) == after, "twice is once"
    if before.get(name) == value:
        assert after == text
    elif name not in before:
        assert after.startswith(text)
    gone = without_variable(after, name)
    assert variables(gone) == {other: kept for other, kept in before.items() if other != name}


@settings(max_examples=60)
@given(FILES, NAMES, st.sampled_from(["x", "it's", 'a "b" # c', "two\nlines", "back\\", "$HOME"]))
def test_lines_that_are_not_touched_stay_byte_for_byte(text: str, name: str, value: str) -> None:
    before = sound(text)
    if not before or name not in before or before[name] == value:
        return
    lines, after = text.splitlines(keepends=True), with_variable(text, name, value).splitlines(keepends=True)

    changed = [at for at, pair in enumerate(zip(lines, after, strict=False)) if pair[0] != pair[1]]

    assert len(after) == len(lines)
    (line,) = changed
    assert name in lines[line]
    assert lines[line].rpartition("  # it's")[1] == after[line].rpartition("  # it's")[1], "the comment stays"
    assert lines[line].partition(name)[0] == after[line].partition(name)[0], "and `export`"


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("A=1\n", "2", "A=2\n"),
        ('# top\nexport A="x" # note\nB=2', "a b", "# top\nexport A='a b' # note\nB=2"),
        ("A=x#1 # note\n", "2", "A=2 # note\n"),
        ("A= # empty\n", "2", "A=2 # empty\n"),
        ("B=1", "2", "B=1\nA=2\n"),
        ("B=1\r\n", "2", "B=1\r\nA=2\r\n"),
        ("\ufeffA='1'\r\n", "", "\ufeffA=''\r\n"),
        ("A=old\nB=1\nA=1\n", "2", "A=old\nB=1\nA=2\n"),
        ("A='two\nlines' # x\nB=1\n", "one", "A=one # x\nB=1\n"),
        ("A\nB=1\n", "x", "A\nB=1\nA=x\n"),
        ("A=1\n", "ends with \\", 'A="ends with \\\\"\n'),
        ("A=1\nB='b'\n", "it's \\", "A=\"it's \\\\\"\nB='b'\n"),
        ("A=1\n", "line\nline\r", 'A="line\\nline\\r"\n'),
        ("A=1\n", "$HOME", "A='$HOME'\n"),
    ],
)
def test_the_plainest_form_is_written(before: str, value: str, after: str) -> None:
    assert with_variable(before, "A", value) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# one\n\nA=1 # gone\n\n# two\n", "# one\n\n\n# two\n"),
        ("A=1\nB=2\nexport A='x\ny'\n", "B=2\n"),
        ("B=2\nA=1", "B=2\n"),
    ],
)
def test_unset_takes_out_each_line_of_the_variable(before: str, after: str) -> None:
    assert without_variable(before, "A") == after


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("9A", "secret", "is no name"),
        ("A-B", "secret", "is no name"),
        ("", "secret", "is no name"),
        ("A", "secret\0", "NUL"),
        ("A", "secret\udcff", "is not UTF-8"),
        ("A", "secret" * 30_000, "longer than"),
    ],
)
def test_what_cannot_be_kept_is_refused_without_its_value(name: str, value: str, why: str) -> None:
    with pytest.raises(EnvFileError, match=why) as refused:
        with_variable("B=1\n", name, value)
    assert "secret" not in f"{refused.value} {refused.value.hint}"


def test_a_file_with_a_bad_line_is_not_changed() -> None:
    with pytest.raises(BadLine, match="line 2"):
        with_variable('A=1\nB="x" junk\n', "C", "1")
    with pytest.raises(BadLine, match="line 2"):
        without_variable('A=1\nB="x" junk\n', "A")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'\\"), max_size=20))
def test_a_shell_reads_ordinary_values_alike(value: str) -> None:
    assert variables(f"A={written(value)}\n") == {"A": value}
    assert decoded(with_variable("", "A", value).encode()) == with_variable("", "A", value)


def test_a_shell_reads_what_most_people_set() -> None:
    values = ["plain", "a b", "it's", "p@ss#w", "$HOME `id`", 'say "x"', "postgres://u:p%40@h:5432/d?a=b&c"]
    text = ""
    for number, value in enumerate(values):
        text = with_variable(text, f"V{number}", value)
    shown = "; ".join(f'printf "%s\\n" "$V{number}"' for number in range(len(values)))

    done = subprocess.run(["/bin/sh", "-c", f"{text}{shown}"], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == values
