import json
from pathlib import Path

import pytest

from slot_machine.cli.detect import detect, ignore_once


@pytest.mark.parametrize(
    ("files", "setup"),
    [
        (("bun.lock", "package-lock.json"), "bun install --frozen-lockfile"),
        (("bun.lockb",), "bun install --frozen-lockfile"),
        (("package-lock.json", "requirements.txt"), "npm ci"),
        (("uv.lock", "requirements.txt"), "uv sync --frozen"),
        (("requirements.txt", "Gemfile.lock"), "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"),
        (("Gemfile.lock",), "bundle config set --local deployment true && bundle install"),
        ((), ""),
    ],
)
def test_first_match_wins(tmp_path: Path, files: tuple[str, ...], setup: str) -> None:
    for name in files:
        (tmp_path / name).touch()

    assert detect(tmp_path).setup_command == setup


@pytest.mark.parametrize(
    ("package", "start"),
    [
        ({"scripts": {"start": "node server.js"}, "main": "index.js"}, "node server.js"),
        ({"scripts": {"start": "NODE_ENV=production node ."}}, "NODE_ENV=production node ."),
        ({"scripts": {"start": "next start"}}, 'export PATH="$PWD/node_modules/.bin:$PATH"; next start'),
        ({"scripts": {"test": "jest"}, "main": "lib/my app.js"}, "node 'lib/my app.js'"),
        ({"main": "index.js"}, "node index.js"),
        ({"scripts": [], "main": 3}, ""),
        ({}, ""),
    ],
)
def test_start_command_of_a_package(tmp_path: Path, package: dict[str, object], start: str) -> None:
    (tmp_path / "package.json").write_text(json.dumps(package))

    assert detect(tmp_path).start_command == start


def test_main_of_a_bun_project_is_run_by_bun(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"main": "index.ts"}')
    (tmp_path / "bun.lock").touch()

    assert detect(tmp_path).start_command == "bun index.ts"


@pytest.mark.parametrize("text", ["{", "[]"])
def test_package_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "package.json").write_text(text)

    with pytest.raises(ValueError, match=r"package\.json is not"):
        detect(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, ".slot-machine\n"),
        ("node_modules", "node_modules\n.slot-machine\n"),
        ("/.slot-machine/\n", "/.slot-machine/\n"),
    ],
)
def test_ignored_once(tmp_path: Path, before: str | None, after: str) -> None:
    path = tmp_path / ".gitignore"
    if before is not None:
        path.write_text(before)

    ignore_once(tmp_path, ".slot-machine")
    ignore_once(tmp_path, ".slot-machine")

    assert path.read_text() == after
