"""What the app must not notice, and what a machine must allow."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.handover.notify import Notification
from tests.handover.conftest import TIMEOUT_S, Stage, Visitors, app

DENIED = str(Path(__file__).with_name("denied.py"))
REHEARSE = "from slot_machine.handover.rehearsal import rehearse; print(rehearse())"
BUSY = "import os, sys; from slot_machine.handover.seccomp import install; os.set_inheritable(install(), True); "
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all")
SHOW = r"grep SigIgn /proc/$$/status; tr '\0' ' ' < /proc/$$/environ; echo"
PROGRAM = """
import ctypes, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
with socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_INET6) as tcp:
    unix.bind("a-socket-of-the-app"); unix.listen()
    wild = libc.bind(tcp.fileno(), ctypes.c_void_p(1 << 63), 16), ctypes.get_errno()
    tcp.bind(("::1", 0)); tcp.listen()
    socket.getaddrinfo("localhost", 80)
with socket.socket(type=socket.SOCK_DGRAM) as udp:
    udp.bind(("127.0.0.1", int(os.environ["PORT"])))
print(json.dumps([os.getpid(), os.getcwd(), os.listdir("/proc/self/fd"), wild]))
"""


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Stage]:
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("needs setpriv to give up capabilities")
    stage = Stage(tmp_path, WITHOUT_CAPABILITIES if os.geteuid() == 0 else ())
    yield stage
    stage.close()


def test_address_beyond_all_memory_is_left_to_the_kernel() -> None:
    call = Notification(fd=-1, number=1, thread=os.getpid(), call=0, args=(3, 1 << 63, 16))

    assert call.address() == b""


def test_app_gets_what_it_would_get_without(stage: Stage) -> None:
    env = {"PORT": str(stage.port), "A": "b=c", "PATH": os.environ["PATH"]}
    argv = ["/bin/sh", "-c", f"{SHOW}; exec {sys.executable} -IS -c '{PROGRAM}'"]
    plain = subprocess.run(argv, cwd=stage.folder, env=env, capture_output=True, check=True)
    (stage.folder / "a-socket-of-the-app").unlink()

    wrapped = subprocess.Popen(
        stage.wrapped(argv), cwd=stage.folder, env=env, stdout=subprocess.PIPE, start_new_session=True
    )

    *inherited, said = wrapped.communicate(timeout=TIMEOUT_S)[0].splitlines()
    *inherited_plain, said_plain = plain.stdout.splitlines()
    assert inherited == inherited_plain
    pid, *rest = json.loads(said)
    assert pid == wrapped.pid
    assert rest == json.loads(said_plain)[1:]


def test_without_capabilities_no_new_privileges_are_had(unprivileged: Stage) -> None:
    live = unprivileged.first(*app("ipv4"))
    visitors = Visitors(unprivileged)
    with visitors.running():
        for _ in range(3):
            live = unprivileged.swap(live, *app("ipv4"))
            wait_until("visitors go on", partial(visitors.reached, visitors.answers.total() + 50))

    assert visitors.failures == []
    assert "NoNewPrivs:\t1" in Path(f"/proc/{live.process.pid}/status").read_text()


def test_with_capabilities_privileges_stay_as_they_are(stage: Stage) -> None:
    if os.geteuid():
        pytest.skip("needs CAP_SYS_ADMIN")
    live = stage.first(*app("ipv4"))

    assert "NoNewPrivs:\t0" in Path(f"/proc/{live.process.pid}/status").read_text()


@pytest.mark.parametrize(
    ("obstacle", "argv"),
    [
        ("", []),
        ("pidfd_getfd: Operation not permitted", [DENIED, "pidfd_getfd", sys.executable]),
        ("seccomp: Operation not permitted", [DENIED, "seccomp", sys.executable]),
        ("seccomp: Device or resource busy", ["-c", f"{BUSY}{REHEARSE}"]),
    ],
)
def test_rehearsal_tells_what_stands_in_the_way(obstacle: str, argv: list[str]) -> None:
    done = subprocess.run([sys.executable, *argv, "-c", REHEARSE], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == obstacle
