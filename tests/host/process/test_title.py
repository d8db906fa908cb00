"""What `ps` shows of our own processes."""

import subprocess
import sys

import pytest

from slot_machine.host.process import title

SHOW = """
import os, sys
from slot_machine.host.process import title
title.show(sys.argv[1], "daemon")
print(open("/proc/self/comm").read().strip())
print(open("/proc/self/cmdline").read().rstrip("\\0"))
print("MARK=7" in open("/proc/self/environ").read().split("\\0"), os.environ["MARK"], sys.orig_argv[-1])
"""


def test_title_replaces_the_command_line_and_leaves_the_environment() -> None:
    argv = [sys.executable, "-c", SHOW, "Åbo shop"]
    shown = subprocess.run(argv, env={"MARK": "7", "PYTHONUTF8": "1"}, capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines() == ["slot-machine", "slot-machine: Åbo shop (daemon)", "True 7 Åbo shop"]


@pytest.mark.parametrize(
    ("room", "shown"),
    [
        (28, b"slot-machine: shop (daemon)\0"),
        (27, b"slot-machine: sho (daemon)\0"),
        (24, b"slot-machine:  (daemon)\0"),
        (10, b"slot-mach\0"),
        (1, b"\0"),
        (0, b""),
    ],
)
def test_title_keeps_its_part_where_the_name_has_no_room(room: int, shown: bytes) -> None:
    assert title.fitted("shop", "daemon", room) == shown


def test_no_character_is_cut_in_half() -> None:
    assert title.fitted("Åbo", "daemon", 25) == b"slot-machine:  (daemon)\0"
