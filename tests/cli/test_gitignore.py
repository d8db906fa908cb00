from pathlib import Path

import pytest

from slot_machine.cli.gitignore import ignore_once


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

    added = ignore_once(tmp_path, ".slot-machine")

    assert added is (before != after)
    assert not ignore_once(tmp_path, ".slot-machine")
    assert path.read_text() == after
