"""The API's token: made once, and nobody's if anything is wrong with it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slot_machine.host.user import token
from tests.users import STRANGER

OWN = "a-token-of-the-operators-own-choice.0"


def secret(data: Path) -> str:
    return (data / token.NAME).read_text().strip()


def test_made_once(tmp_path: Path) -> None:
    token.ensure(tmp_path)
    made = secret(tmp_path)
    token.ensure(tmp_path)

    assert secret(tmp_path) == made
    assert (tmp_path / token.NAME).stat().st_mode & 0o777 == 0o600
    assert len(made) >= 43
    assert token.matches(tmp_path, made)
    assert [path.name for path in tmp_path.iterdir()] == [token.NAME]


@pytest.mark.parametrize("given", ["", "x", "\udcff", "\n", "None"])
def test_another_one_does_not_match(tmp_path: Path, given: str) -> None:
    token.ensure(tmp_path)

    assert not token.matches(tmp_path, given)
    assert not token.matches(tmp_path, secret(tmp_path)[:-1])


def test_operators_own(tmp_path: Path) -> None:
    write(tmp_path / token.NAME, OWN)
    token.ensure(tmp_path)

    assert token.matches(tmp_path, OWN)


def write(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def leave_open(path: Path) -> None:
    write(path, OWN, 0o640)


def give_away(path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root")
    write(path, OWN)
    os.chown(path, STRANGER, -1)


def link(path: Path) -> None:
    write(path.with_name("other"), OWN)
    path.symlink_to("other")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: write(path, ""),
        lambda path: write(path, "\n"),
        lambda path: write(path, "short"),
        lambda path: write(path, f"{OWN}\n{OWN}"),
        lambda path: path.write_bytes(b"\0" * 43),
        leave_open,
        give_away,
        link,
        os.mkfifo,
    ],
)
def test_one_that_is_not_to_be_used_matches_nothing_and_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / token.NAME
    spoil(path)
    given = {"", "short", OWN, "\0" * 43}
    assert not any(token.matches(tmp_path, known) for known in given)

    token.ensure(tmp_path)

    assert token.matches(tmp_path, secret(tmp_path))
    assert not path.is_symlink()
    assert secret(tmp_path) not in given
    assert f"{path} is replaced by a new one" in caplog.text


def test_missing_one_matches_nothing(tmp_path: Path) -> None:
    assert not token.matches(tmp_path, "")


def test_one_that_cannot_be_made_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / token.NAME).mkdir()

    token.ensure(tmp_path)

    assert "so nobody is let in by a token" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [token.NAME]
    assert not token.matches(tmp_path, "")


def test_one_that_cannot_be_read_just_now_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token.ensure(tmp_path)
    made = secret(tmp_path)

    def no_descriptors(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(token, "open_regular", no_descriptors)
        token.ensure(tmp_path)
        assert not token.matches(tmp_path, made)

    assert "cannot read" in caplog.text
    assert token.matches(tmp_path, made)
