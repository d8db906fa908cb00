"""Limits of control groups, on a folder that looks like one; and how much memory processes take."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from slot_machine.host.process.cgroup import Cgroup, allow_limits
from slot_machine.host.process.memory import memory_bytes, proportional_bytes
from slot_machine.host.process.proc import resident_bytes

MEGABYTES = 64


@pytest.fixture
def group(tmp_path: Path) -> Path:
    for name, text in {
        "cgroup.type": "domain",
        "cgroup.controllers": "cpuset cpu io memory pids",
        "cgroup.procs": "",
        "cgroup.subtree_control": "",
        "memory.max": "max",
        "memory.swap.max": "max",
        "cpu.weight": "100",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def read(group: Path, *names: str) -> list[str]:
    return [(group / name).read_text() for name in names]


def test_limit_is_kept_by_the_kernel_and_can_be_taken_back(group: Path) -> None:
    assert Cgroup(group).limit(1_024_000_000, 200)
    assert read(group, "memory.max", "memory.swap.max", "cpu.weight") == ["1024000000", "0", "200"]

    assert Cgroup(group).limit(0, 100)
    assert read(group, "memory.max", "memory.swap.max", "cpu.weight") == ["max", "max", "100"]


def test_group_without_controllers_says_that_it_keeps_no_limit(tmp_path: Path) -> None:
    assert not Cgroup(tmp_path).limit(1_000_000, 50)
    assert Cgroup(tmp_path).limit(0, 50)
    assert list(tmp_path.iterdir()) == []


def test_kills_at_the_limit_are_counted(group: Path) -> None:
    assert Cgroup(group).oom_kills() == 0
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 51\noom 2\noom_kill 2\noom_group_kill 0\n")
    assert Cgroup(group).oom_kills() == 2


def test_controllers_are_passed_on_to_the_groups(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write_text = Path.write_text

    def write(path: Path, text: str) -> int:
        written.append(f"{path.name} {text}")
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", write)
    allow_limits(group)

    assert written == ["cgroup.subtree_control +memory", "cgroup.subtree_control +cpu"]


@pytest.mark.parametrize(("name", "text"), [("cgroup.procs", "17\n"), ("cgroup.controllers", "pids hugetlb")])
def test_group_that_has_processes_or_no_controllers_is_left_as_it_is(group: Path, name: str, text: str) -> None:
    (group / name).write_text(text)

    allow_limits(group)

    assert read(group, "cgroup.subtree_control") == [""]


def test_missing_control_files_are_no_error(tmp_path: Path) -> None:
    allow_limits(tmp_path)


def test_pages_that_a_server_shares_with_its_workers_count_once() -> None:
    """As of a server that loads the app and then forks."""
    script = f"import os; data = bytearray(b'x') * ({MEGABYTES} << 20); os.fork(); os.fork(); print(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{script}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as server:
        assert server.stdout
        for _ in range(4):
            server.stdout.readline()
        pids = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _session(pid) == server.pid]
        resident = sum(map(resident_bytes, pids))
        counted = memory_bytes(pids, enough=0)
        assert len(pids) == 4
        assert resident > 4 * MEGABYTES << 20
        assert MEGABYTES << 20 < counted < 2 * MEGABYTES << 20
        assert memory_bytes(pids, enough=resident + (1 << 30)) >= 4 * MEGABYTES << 20
        assert server.stdin
        server.stdin.close()


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def test_process_that_is_gone_takes_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    assert proportional_bytes(gone.pid) == 0
    assert memory_bytes([gone.pid], 0) == 0


def test_mapped_memory_of_a_process_is_seen() -> None:
    before = proportional_bytes(os.getpid())
    with mmap.mmap(-1, MEGABYTES << 20) as memory:
        memory.write(b"x" * (MEGABYTES << 20))
        assert proportional_bytes(os.getpid()) - before > MEGABYTES // 2 << 20
