import time

from .ports import is_free
from .project import PYTHON, Project
from .waiting import wait_until

DOUBTED_FOR_S = 2
"""After a crash, the app does not count as healthy for at least this time, even if it runs again."""

BEHIND_A_SHELL = f"{PYTHON} app.py; exit $?"
"""The shell stays the app's parent and dies of the first SIGTERM. But the whole process group counts."""


def test_process_crash_detected(project: Project) -> None:
    daemon = project.start()
    daemon.must_deploy(project.commit("v1"))
    assert daemon.status().healthy

    project.ask_app("/crash", "POST")

    wait_until("the port is down", lambda: is_free(project.port))
    time.sleep(DOUBTED_FOR_S)
    assert not daemon.status().healthy, "also if the app was started again"

    daemon.must_deploy(project.commit("v2"))
    assert daemon.status().healthy
    assert project.serving() == "v2"


def test_drain_timeout_force_kills(project: Project) -> None:
    daemon = project.start(drain_timeout_ms=600, start_command=BEHIND_A_SHELL)
    daemon.must_deploy(project.commit("stubborn", ignore_sigterm=True))
    (stubborn,) = project.processes("stubborn")
    assert stubborn.alive()

    daemon.must_deploy(project.commit("v2"))

    wait_until("the stubborn process is killed", lambda: not stubborn.alive())
    assert ("sigterm", "stubborn", stubborn) in project.events(), "it was asked before it was killed"
    assert ("stopped", "stubborn", stubborn) not in project.events()
    assert project.serving() == "v2"


def test_daemon_shutdown_drains_processes(project: Project) -> None:
    daemon = project.start(start_command=BEHIND_A_SHELL)
    daemon.must_deploy(project.commit("v1"))
    daemon.must_deploy(project.commit("v2", stop_s=0.5))
    (process,) = project.processes("v2")
    assert process.alive()

    assert daemon.stop() == 0

    assert not process.alive()
    assert ("stopped", "v2", process) in project.events(), "it had the time it needed to finish"
    assert is_free(project.port)
    assert is_free(project.api_port)
