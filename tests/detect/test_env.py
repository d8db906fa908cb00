from pathlib import Path

import pytest

from slot_machine.detect import env
from tests.detect.given import Files, project


def found(tmp_path: Path, files: Files, *, tracked: bool = False) -> env.Environment:
    return env.find(project(tmp_path, files), tracked=tracked)


def test_env_file_is_taken(tmp_path: Path) -> None:
    assert found(tmp_path, {".env": "A=1"}) == env.Environment(".env", ())


def test_env_file_that_git_tracks_is_not_taken(tmp_path: Path) -> None:
    file, look = found(tmp_path, {".env": "A=1", ".env.example": "A=\nB="}, tracked=True)

    assert file == ""
    assert look == (env.TRACKED,)


def test_variables_that_the_example_names_and_the_file_lacks(tmp_path: Path) -> None:
    files: Files = {".env": "A=1\nexport B='x'", ".env.example": "# for all\nA=\nB=\nDATABASE_URL=postgres://\nKEY="}

    assert found(tmp_path, files).look == (".env lacks DATABASE_URL, KEY, which .env.example names",)


def test_example_without_a_file(tmp_path: Path) -> None:
    file, look = found(tmp_path, {".env.sample": "KEY="})

    assert file == ""
    assert look == (".env.sample names KEY: put them into a file, and name it as env_file",)


def test_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, {}) == env.Environment("", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("KEY = os.environ['KEY']", "KEY"),
        ("KEY = os.environ.get('KEY')", ""),
        ("os.environ['KEY'] = 'x'", ""),
        ("if 'KEY' in os.environ:\n    key = os.environ['KEY']", ""),
        ("KEY = env('KEY')", "KEY"),
        ("KEY = env('KEY', default='x')", ""),
        ("KEY = config('KEY')", "KEY"),
        ("if os.getenv('DB', None) is None:\n    raise Exception", "DB"),
        ("KEY = os.environ['THERE']", ""),
    ],
)
def test_variables_that_settings_ask_for(tmp_path: Path, text: str, said: str) -> None:
    given = project(tmp_path, {".env": "THERE=1"})

    assert env.required(text, given) == ((f"set {said} in env_file: the settings can't do without",) if said else ())
