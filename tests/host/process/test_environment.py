import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.host.process.env_file import read_env_file
from slot_machine.host.process.environment import compose, dropped_by_the_shell

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nFOO BAR=secret\n", "line 2 is not NAME=value"),
        ("A=1\n\n=secret\n", "line 3 is not NAME=value"),
        ('A=1\nB="secret\nC=2\n', "line 2 is not NAME=value, or its quotes do not match"),
        ('B="secret" junk\n', "line 1 is not NAME=value"),
        ("A=1\n'B=C'=secret\n", "line 2: a name can't contain ="),
        ("A\0=secret\n", "line 1: a name can't contain a NUL character"),
        ("A=1\nB=sec\0ret\n", "line 2: B contains a NUL character"),
        (f"A=1\nB={'secret' * 25_000}\n", "line 2: B is longer than"),
        ("".join(f"V{number}={'secret' * 10_000}\n" for number in range(200)), "its variables take"),
    ],
)
def test_line_that_no_process_could_get_is_named_without_its_value(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "env"
    path.write_text(text)

    with pytest.raises(StageFailed) as failed:
        compose(Version("a", "abc"), path, {}, "resolve")

    assert message in str(failed.value)
    assert str(path) in str(failed.value)
    assert "secret" not in str(failed.value)


def test_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"\xef\xbb\xbfA=1\n")

    assert read_env_file(path) == {"A": "1"}


def test_variables_of_any_locale_reach_a_process_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("EURO=€\n", encoding="utf-8")
    program = (
        "import subprocess, sys; from pathlib import Path;"
        "from slot_machine.host.process.env_file import read_env_file as read;"
        "print(subprocess.check_output(['printenv', 'EURO'], env=read(Path(sys.argv[1])) | {'PATH': '/bin:/usr/bin'}))"
    )
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    done = subprocess.run([sys.executable, "-c", program, path], env=env, capture_output=True, text=True, check=False)

    assert done.stdout == "b'\\xe2\\x82\\xac\\n'\n", done.stderr


def test_names_that_the_shell_drops_are_those_that_it_drops() -> None:
    names = ["FINE", "_1", "a.b", "c-d", "1st", "é"]
    env = dict.fromkeys(names, "x")

    kept = subprocess.run(["/bin/sh", "-c", "env"], env=env, capture_output=True, check=True).stdout.decode()

    assert dropped_by_the_shell(env) == [name for name in names if f"{name}=x" not in kept.splitlines()]


def test_shell_of_the_daemon_binds_no_command_to_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", "/venv")
    monkeypatch.setenv("BUNDLE_GEMFILE", "/repo/Gemfile")
    monkeypatch.setenv("BUNDLE_WITHOUT", "test")
    monkeypatch.setenv("PATH", "/venv/bin:/usr/bin:/bin")
    path = tmp_path / "env"
    path.write_text("BUNDLE_WITHOUT=development\n")

    env = compose(Version("a", "abc"), path, {}, "setup")

    assert env["PATH"] == "/usr/bin:/bin"
    assert "VIRTUAL_ENV" not in env
    assert "BUNDLE_GEMFILE" not in env
    assert env["BUNDLE_WITHOUT"] == "development", "env_file may say what it wants"


def test_deleted_key_is_gone_from_the_next_command(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("KEPT=1\nDELETED=1\n")
    before = compose(Version("a", "abc"), path, {}, "start")
    path.write_text("KEPT=1\n")

    after = compose(Version("a", "abc"), path, {}, "start")

    assert before.keys() - after.keys() == {"DELETED"}
