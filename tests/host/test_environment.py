from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.host.environment import compose, read_env_file

NAMES = st.from_regex(r"\A[A-Z_][A-Z0-9_]{0,8}\Z")
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="'\\"), max_size=20)


def test_the_format_people_know(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\n\nPLAIN=one\nexport EXPORTED=two # and why\nDOUBLE=\"a b\\nc\"\nSINGLE='a # $HOME'\nEMPTY=\n"
        "SPACED = three\nDOLLAR=pa$$word${X}\nNO_VALUE\n"
    )

    assert read_env_file(path) == {
        "PLAIN": "one",
        "EXPORTED": "two",
        "DOUBLE": "a b\nc",
        "SINGLE": "a # $HOME",
        "EMPTY": "",
        "SPACED": "three",
        "DOLLAR": "pa$$word${X}",
    }


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_single_quoted_values_come_back_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("env") / "file"
    path.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))

    assert read_env_file(path) == values


def test_order_of_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_DAEMON", "daemon")
    monkeypatch.setenv("BOTH", "daemon")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    path = tmp_path / "env"
    path.write_text("BOTH=file\nPORT=1\nSLOT_MACHINE_SLOT=z\n")

    env = compose(Version("b", "abc"), path, {"PORT": 4000}, "start")

    assert (env["FROM_DAEMON"], env["BOTH"], env["PORT"]) == ("daemon", "file", "4000")
    assert (env["SLOT_MACHINE"], env["SLOT_MACHINE_SLOT"], env["SLOT_MACHINE_COMMIT"]) == ("1", "b", "abc")
    assert "GIT_DIR" not in env


@pytest.mark.parametrize("content", [None, b"A=\xff\xfe\n"])
def test_file_that_cannot_be_read_fails_the_stage(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "env"
    if content:
        path.write_bytes(content)

    with pytest.raises(StageFailed, match="cannot read env_file"):
        compose(Version("a", "abc"), path, {}, "setup")
