"""Commands: what they are given, and how much of their output is kept."""

import asyncio
import os
import shlex
import sys
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.host.process import commands
from slot_machine.host.process.commands import MOST_STDERR, MOST_STDOUT
from tests.processes import alive, kill

FLOOD = "import os, sys\nwhile True: os.write(int(sys.argv[1]), b'x' * 65536)"
ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", sys.argv[1]], {})
"""
HOLDER = "import os, time; open({path!r}, 'w').write(str(os.getpid())); time.sleep(60)"


def test_every_command_bears_the_mark_of_its_owner(tmp_path: Path) -> None:
    """Else it could be taken for an orphan of the app's."""
    code, out, _ = asyncio.run(commands.run(["/usr/bin/env"], tmp_path, {"A": "b"}, "me"))

    assert code == 0
    names = dict(line.split("=", 1) for line in out.splitlines())
    assert names["A"] == "b"
    assert names["SLOT_MACHINE_RUN"].startswith("me-")


def test_command_that_prints_without_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"printed more than {MOST_STDOUT} bytes"):
        asyncio.run(commands.run([sys.executable, "-c", FLOOD, "1"], tmp_path, {}, "me"))


def test_last_of_many_errors_are_kept(tmp_path: Path) -> None:
    command = "yes begin | head -c 1000000 >&2; echo end >&2; exit 3"

    code, _, err = asyncio.run(commands.run(["/bin/sh", "-c", command], tmp_path, dict(os.environ), "me"))

    assert code == 3
    assert len(err) == MOST_STDERR
    assert err.endswith("end\n")


def test_output_that_is_handed_on_is_not_kept(tmp_path: Path) -> None:
    size = 0

    def count(piece: bytes) -> None:
        nonlocal size
        size += len(piece)

    argv = ["/bin/sh", "-c", f"head -c {2 * MOST_STDOUT} /dev/zero"]
    code, out, _ = asyncio.run(commands.run(argv, tmp_path, dict(os.environ), "me", count))

    assert (code, out, size) == (0, "", 2 * MOST_STDOUT)


def test_orphan_that_holds_the_output_does_not_hold_the_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It got away: no control group, no mark, a session of its own, and its parents are gone."""
    monkeypatch.setattr("slot_machine.host.process.cgroup.Cgroup.make", lambda _: None)
    path = tmp_path / "pid"
    command = shlex.join([sys.executable, "-c", ORPHAN, HOLDER.format(path=str(path))])
    pieces: list[bytes] = []

    async def run() -> int:
        return await commands.run_shell(
            f"echo begun; {command}; until test -s {path}; do sleep 0.01; done; echo done",
            tmp_path,
            dict(os.environ),
            "me",
            lambda _: None,
            pieces.append,
        )

    code = asyncio.run(asyncio.wait_for(run(), 20))

    assert code == 0
    assert b"".join(pieces) == b"begun\ndone\n"
    orphan = int(path.read_text())
    if alive(orphan):
        kill(orphan)
    wait_until("it is gone", lambda: not alive(orphan))
