"""Which processes of a session get a stop signal, and that the others do not."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.host.process import proc
from slot_machine.host.process.containment import owner
from slot_machine.host.process.mains import mains
from slot_machine.host.process.session import Session

Start = Callable[..., int]
BASH = shutil.which("bash") or "/bin/sh"
SLEEP = "sleep 600"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command, and returns its pid when it has as many descendants as said."""
    started = []

    def start(*argv: str, descendants: int) -> int:
        process = subprocess.Popen(argv, start_new_session=True)
        started.append(process)
        wait_until("all of it runs", lambda: len(list(proc.child_tree(process.pid))) == descendants)
        wait_until("all are programs", lambda: all(map(_is_begun, proc.child_tree(process.pid))))
        return process.pid

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_begun(pid: int) -> bool:
    """Whether a child of the shell has become the program that it runs, or a shell that runs one."""
    return proc.command_line(pid).startswith("sleep") or bool(list(proc.children(pid)))


def commands(pids: list[int]) -> list[str]:
    return sorted(map(proc.command_line, pids))


def test_leader_that_is_no_shell_is_the_main_process(start: Start) -> None:
    pid = start("sleep", "600", descendants=0)
    assert mains(pid, signal.SIGTERM) == [pid]


@pytest.mark.parametrize(
    ("shell", "command", "descendants"),
    [
        ("/bin/sh", f"cd . && {SLEEP}", 1),
        ("/bin/sh", f"{SLEEP}; true", 1),
        (BASH, f"{SLEEP}; true", 1),
        ("/bin/sh", f"sh -c '{SLEEP}; true'; true", 2),
        ("/bin/sh", f"trap : INT; {SLEEP}; true", 1),
    ],
)
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGTSTP])
def test_shell_that_only_waits_is_not(
    start: Start, shell: str, command: str, descendants: int, signum: signal.Signals
) -> None:
    pid = start(shell, "-c", command, descendants=descendants)
    assert commands(mains(pid, signum)) == [SLEEP]


def test_all_that_a_shell_waits_for_are_main_processes(start: Start) -> None:
    pid = start("/bin/sh", "-c", "sleep 601 & sleep 602 & wait", descendants=2)
    assert commands(mains(pid, signal.SIGTERM)) == ["sleep 601", "sleep 602"]


@pytest.mark.parametrize("loop", [f"while :; do {SLEEP}; done", f"for i in 1 2\ndo\n{SLEEP}\ndone"])
def test_shell_with_a_loop_is_told_before_what_it_waits_for(start: Start, loop: str) -> None:
    pid = start("/bin/sh", "-c", loop, descendants=1)
    (child,) = proc.children(pid)
    assert mains(pid, signal.SIGTERM) == [pid, child]
    assert mains(pid, signal.SIGTSTP) == [child], "a quiet signal would end or stop the shell"


@pytest.mark.parametrize("shell", ["/bin/sh", BASH])
def test_shell_whose_script_has_a_loop_is_told_as_well(start: Start, tmp_path: Path, shell: str) -> None:
    script = tmp_path / "worker.sh"
    script.write_text(f"# for all that there is to do\nwhile :\n  do {SLEEP}\ndone\n")
    pid = start(shell, "-e", str(script), descendants=1)
    assert mains(pid, signal.SIGTERM) == [pid, *proc.children(pid)]


def test_script_that_has_a_loop_in_a_remark_only_waits(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "worker.sh"
    script.write_text(f"# Cleans up\n# while others do that, too.\n{SLEEP}\ntrue\n")
    pid = start("/bin/sh", str(script), descendants=1)
    assert commands(mains(pid, signal.SIGTERM)) == [SLEEP]


def test_loop_ends_at_its_stop_signal(tmp_path: Path) -> None:
    async def story() -> bool:
        session = Session.start(
            ["/bin/sh", "-c", f"while :; do {SLEEP}; done"],
            cwd=tmp_path,
            env=dict(os.environ),
            output=1,
            owner=owner(tmp_path),
        )
        wait_until("it loops", lambda: len(session.members()) == 2)
        session.ask(signal.SIGTERM)
        return await session.end_within(10)

    assert not asyncio.run(story()), "it took no SIGKILL"


def test_shell_with_a_trap_handles_the_signal_itself(start: Start) -> None:
    pid = start("/bin/sh", "-c", f"trap 'exit 3' TERM; {SLEEP} & wait", descendants=1)
    assert mains(pid, signal.SIGTERM) == [pid]


@pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")
def test_script_that_npm_runs_is_the_main_process(start: Start, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"scripts": {"worker": "sleep 600; true"}}')
    pid = start("/bin/sh", "-c", f"cd {tmp_path} && npm run worker", descendants=3)
    assert commands(mains(pid, signal.SIGTERM)) == [SLEEP]


@pytest.mark.parametrize("program", ["yarn", "/usr/lib/pnpm.cjs", "node /usr/bin/yarn.js", "node /opt/npm-cli.js"])
def test_runner_is_known_by_its_name(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "command_line", lambda pid: f"{program} run worker" if pid == 1 else "node worker.js")
    monkeypatch.setattr(proc, "children", lambda pid: [2] if pid == 1 else [])
    assert mains(1, signal.SIGTERM) == [2]


def test_only_main_processes_are_asked_and_the_rest_is_killed_at_the_end(tmp_path: Path) -> None:
    """The child of the main process would die of the signal, as those of a Celery pool do."""
    program = tmp_path / "main.py"
    program.write_text(
        "import signal, subprocess, sys\n"
        "child = subprocess.Popen(['sh', '-c', 'touch begun; sleep 0.5; echo done > child; exec sleep 600'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "child.wait()\n"
    )

    async def story() -> tuple[bool, list[int]]:
        session = Session.start(
            ["/bin/sh", "-c", f"cd . && python3 -IS {program}"],
            cwd=tmp_path,
            env=dict(os.environ),
            output=1,
            owner=owner(tmp_path),
        )
        while not (tmp_path / "begun").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        session.ask(signal.SIGTERM)
        return await session.end_within(2), session.members()

    killed, members = asyncio.run(story())
    assert (tmp_path / "child").read_text() == "done\n"
    assert killed
    assert members == []
