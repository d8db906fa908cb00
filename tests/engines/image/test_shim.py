"""Process 1 of a container, with each sh that an image may have."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slot_machine.engines.image import variables
from tests.containers import SHELLS, SHIM, Container, has_namespaces, until

Start = Callable[..., Container]

SLOW = """
import signal, sys, time
def end(*_):
    print("asked", flush=True)
    time.sleep(0.5)
    print("drained", flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
signal.pause()
"""

pytestmark = pytest.mark.skipif(not has_namespaces(), reason="this machine gives no namespaces")


@pytest.fixture(params=SHELLS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    started: list[Container] = []

    def begin(*args: str, **env: str) -> Container:
        started.append(Container(request.param, args, tmp_path, env))
        return started[-1]

    yield begin
    for container in started:
        container.end()


@pytest.mark.parametrize("code", [0, 7, 127])
def test_exit_code_is_that_of_the_command(start: Start, code: int) -> None:
    assert start("run", f"exit {code}").code() == code


def test_exit_code_of_a_command_that_a_signal_killed(start: Start) -> None:
    assert start("run", "kill -9 $$").code() == 137


def test_a_program_gets_its_arguments_without_a_shell(start: Start) -> None:
    container = start("run", "printf", "<%s>", "a  b", "$HOME", "")
    assert container.code() == 0
    assert container.lines == ["<a  b><$HOME><>"]


def test_both_streams_of_a_command_are_shown(start: Start) -> None:
    container = start("run", "echo one; echo two >&2; for n in 3 4 6 7 8 9; do [ -e /dev/fd/$n ] && echo $n; done")
    container.code()
    assert container.lines == ["one", "two"]


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
def test_signals_are_passed_on(start: Start, name: str) -> None:
    container = start("run", f"trap 'echo got; exit 3' {name}; echo ready; while :; do sleep 0.02; done")
    container.wait_for("ready")
    container.send(name)
    assert container.code() == 3
    assert "got" in container.lines


@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM"])
def test_no_signal_is_ignored_from_the_start(start: Start, name: str) -> None:
    """A sh lets its background commands ignore SIGINT and SIGQUIT."""
    container = start("run", "echo ready; exec sleep 60")
    container.wait_for("ready")
    container.send(name)
    assert container.code() == {"INT": 130, "QUIT": 131, "TERM": 143}[name]


def test_no_signal_is_lost(start: Start) -> None:
    container = start("run", "trap 'echo got' USR1; echo ready; while :; do sleep 0.001; done")
    container.wait_for("ready")
    for count in range(1, 31):
        container.wait_until_idle()
        container.send("USR1")
        container.wait_for("got", count)


def test_a_signal_before_the_start_is_passed_on_after_it(start: Start, tmp_path: Path) -> None:
    """So many variables take a while."""
    file = tmp_path / "variables"
    file.write_text(variables.written({f"V{number}": "x" for number in range(100)}))
    container = start("run", "echo started; exec sleep 60", SLOT_MACHINE_ENV_FILE=str(file))
    caught = Path(f"/proc/{container.first}/status")
    until(lambda: int(caught.read_text().partition("SigCgt:")[2].split()[0], 16) & 1 << 14 > 0, lambda: "a trap")
    container.send("TERM")
    assert container.code() == 143


def test_each_process_of_a_command_gets_the_signal(start: Start) -> None:
    wait = "while :; do sleep 0.02; done"
    inner = f"sh -c 'trap \"echo inner; exit\" TERM; echo ready; {wait}'"
    container = start("run", f"trap : TERM; {inner} & wait; wait; exit 4")
    container.wait_for("ready")
    container.send("TERM")
    assert container.code() == 4
    assert "inner" in container.lines


def test_only_the_main_process_of_a_worker_gets_it(start: Start) -> None:
    wait = "while :; do sleep 0.02; done"
    inner = f"sh -c 'trap \"echo inner\" TERM; echo ready; {wait}'"
    container = start("worker", f"trap 'kill -KILL $!; exit 4' TERM; {inner} & {wait}")
    container.wait_for("ready")
    container.send("TERM")
    assert container.code() == 4
    assert "inner" not in container.lines


def test_the_main_process_of_a_worker_may_be_below_a_shell(start: Start, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(SLOW)
    container = start("worker", f"cd {tmp_path} && /usr/bin/python3 worker.py; exit $?")
    container.wait_for("ready")
    container.send("TERM")
    assert container.code() == 5
    assert container.lines == ["ready", "asked", "drained"]


def test_it_waits_for_an_app_below_a_shell_that_ends_at_once(start: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW)
    container = start("run", f"cd {tmp_path}; /usr/bin/python3 app.py; true")
    container.wait_for("ready")
    container.send("TERM")
    assert container.code() == 143
    assert container.lines == ["ready", "asked", "drained"]


def test_orphans_are_reaped(start: Start) -> None:
    orphans = "for n in 1 2 3 4 5; do sh -c 'sleep 0.05 & exit'; done"
    container = start("run", f"{orphans}; echo ready; exec sleep 60")
    container.wait_for("ready")
    until(lambda: len(container.processes()) <= 3, lambda: f"an end in {container.processes()}")
    assert "Z" not in container.processes().values()


def test_it_waits_without_work(start: Start) -> None:
    container = start("run", "echo ready; exec sleep 60")
    container.wait_for("ready")
    container.wait_until_idle()
    stat = Path(f"/proc/{container.first}/stat")
    before = stat.read_text().split()[13:15]
    time.sleep(0.2)
    assert stat.read_text().split()[13:15] == before


def test_the_first_sigterm_waits_while_the_app_goes_on(start: Start) -> None:
    command = "trap 'echo got; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    container = start("run", command, SLOT_MACHINE_STOP_DELAY_MS="400")
    container.wait_for("ready")
    sent_s = time.monotonic()
    container.send("TERM")
    assert container.code() == 0
    assert time.monotonic() - sent_s >= 0.4


def test_the_second_sigterm_does_not_wait(start: Start) -> None:
    command = "trap 'echo got; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    container = start("run", command, SLOT_MACHINE_STOP_DELAY_MS="3600000")
    container.wait_for("ready")
    container.send("TERM")
    until(lambda: "sleep 3600.000" in _commands(container), lambda: f"a delay in {_commands(container)}")
    container.send("TERM")
    assert container.code() == 0


def test_delay_is_not_taken_for_the_last_command_in_the_background(start: Start) -> None:
    """The SIGTERM may come between a `&` of process 1 and its `$!`."""
    own = f"set -- check; . {SHIM}; _sm_delay_s=3600 _sm_group=1"
    assert start("run", f"{own}; sleep 60 & first=$!; _sm_terminate; [ $! = $first ] && exit 6").code() == 6


def test_another_signal_in_place_of_sigterm(start: Start) -> None:
    command = "trap 'echo quit; exit 5' QUIT; echo ready; while :; do sleep 0.02; done"
    container = start("worker", command, SLOT_MACHINE_STOP_SIGNAL="QUIT")
    container.wait_for("ready")
    container.send("TERM")
    assert container.code() == 5


def test_an_app_that_kills_all_of_its_session_ends_the_container(start: Start) -> None:
    assert start("run", "kill -9 0").code() == 137


def test_variables_have_any_bytes_and_are_no_code(start: Start, tmp_path: Path) -> None:
    values = {
        "ALL": os.fsdecode(bytes(range(1, 256))),
        "LINES": "one\ntwo\n\n",
        "INJECTED": "$(touch injected) `touch injected` '; touch injected; \"",
        "EMPTY": "",
        "line": "own",
        "_": "x",
        "PORT": "1",
        "SLOT_MACHINE_COMMIT": "other",
        "IFS": "/",
        "a.b": "odd",
    }
    file = tmp_path / "variables"
    file.write_text(variables.written(values))
    joined = "b'\\0'.join(b'%s=%s' % pair for pair in os.environb.items())"
    dump = f"import os; open({str(tmp_path / 'seen')!r}, 'wb').write({joined})"
    container = start("run", "/usr/bin/python3", "-c", dump, SLOT_MACHINE_ENV_FILE=str(file), PORT="8080")
    assert container.code() == 0, container.lines
    entries = (entry.split(b"=", 1) for entry in (tmp_path / "seen").read_bytes().split(b"\0"))
    seen = {os.fsdecode(name): os.fsdecode(value) for name, value in entries}
    assert {name: seen.get(name) for name in ("ALL", "LINES", "INJECTED", "EMPTY", "line")} == {
        name: values[name] for name in ("ALL", "LINES", "INJECTED", "EMPTY", "line")
    }
    assert seen["PORT"] == "8080"
    assert "SLOT_MACHINE_COMMIT" not in seen
    assert not [name for name in seen if name.startswith("_sm_")]
    assert variables.left_out(values) == ["IFS", "PORT", "SLOT_MACHINE_COMMIT", "a.b"]


def test_variables_that_are_not_there_are_said(start: Start) -> None:
    container = start("run", "true", SLOT_MACHINE_ENV_FILE="/nowhere/variables")
    assert container.code() == 126
    assert container.lines == ["slot-machine: cannot read the variables in /nowhere/variables"]


def test_input_is_passed_on(tmp_path: Path) -> None:
    argv = ["/bin/sh", str(SHIM), "run", "read line; echo got $line"]
    done = subprocess.run(argv, input="text\n", capture_output=True, text=True, cwd=tmp_path, check=True)
    assert (done.stdout, done.stderr) == ("got text\n", "")


def test_a_terminal_is_the_commands_own(tmp_path: Path) -> None:
    if not shutil.which("script"):
        pytest.skip("script is not installed")
    inner = f"/bin/sh {SHIM} run 'test -t 0 && cat </dev/tty | head -n 1; exit 6'"
    argv = ["script", "--quiet", "--return", "--command", inner, "/dev/null"]
    done = subprocess.run(argv, input="typed\n", capture_output=True, text=True, cwd=tmp_path, check=False, timeout=20)
    assert "typed" in done.stdout
    assert done.returncode == 6


def _commands(container: Container) -> str:
    found = []
    for pid in container.processes():
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return "\n".join(found)
