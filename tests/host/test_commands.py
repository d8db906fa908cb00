"""Commands: what they are given."""

import asyncio
from pathlib import Path

from slot_machine.host import commands


def test_every_command_bears_the_mark_of_its_owner(tmp_path: Path) -> None:
    """Else it could be taken for an orphan of the app's."""
    code, out, _ = asyncio.run(commands.run(["/usr/bin/env"], tmp_path, {"A": "b"}, "me"))

    assert code == 0
    names = dict(line.split("=", 1) for line in out.splitlines())
    assert names["A"] == "b"
    assert names["SLOT_MACHINE_RUN"].startswith("me-")
