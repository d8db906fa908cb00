"""Celery with its default pool: a deploy, the daemon's end and its kill cut no task that a worker has begun."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from spec.waiting import wait_until

from tests.processes import kill_daemon
from tests.world import Site

CELERY = str(Path(sys.executable).with_name("celery"))
TASKS = Path(__file__).parents[1] / "clients" / "celery_tasks.py"
TASK_S = 10
LIMIT_S = 60


@pytest.fixture
def live(site: Site) -> Site:
    """A version with a worker, which has begun one task."""
    worker = shlex.join([CELERY, "-A", "celery_tasks", "worker", "--concurrency=2", "--pidfile="])
    (site.repo / "env").write_text(f"CELERY_FOLDER={site.folder}\nC_FORCE_ROOT=1\n")
    processes: object = {"worker": f"cd . && {worker}"}
    site.start(processes=processes, env_file="env")  # type: ignore[arg-type]
    deploy(site, "v1")
    begin(site, "first")
    return site


def deploy(site: Site, version: str) -> None:
    site.commit(version, {"celery_tasks.py": TASKS.read_text()})
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert (reply.status, reply.body.get("warnings")) == (200, []), reply


def begin(site: Site, name: str) -> None:
    call = [CELERY, "-A", "celery_tasks", "call", "celery_tasks.work", f'--args=["{name}", {TASK_S}]']
    environment = os.environ | {"CELERY_FOLDER": str(site.folder), "PYTHONPATH": str(TASKS.parent)}
    subprocess.run(call, cwd=site.folder, env=environment, check=True, capture_output=True)
    noted(site, f"began {name}")


def noted(site: Site, what: str) -> None:
    wait_until(f"noted {what}", lambda: what in notes(site), limit_s=LIMIT_S)


def notes(site: Site) -> list[str]:
    path = site.folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def nothing_retires(site: Site) -> None:
    wait_until("nothing retires", lambda: site.status()["retiring"] == [], limit_s=LIMIT_S)


def test_task_ends_in_the_old_worker_while_the_new_one_begins_others(live: Site) -> None:
    deploy(live, "v2")
    assert "ended first" not in notes(live), "the deploy waited for the task"
    begin(live, "second")
    noted(live, "ended first")
    nothing_retires(live)
    noted(live, "ended second")
    assert notes(live) == ["began first", "began second", "ended first", "ended second"]
    assert live.history()[-1]["warnings"] == "[]"


def test_task_ends_though_the_daemon_is_killed_while_its_worker_retires(live: Site) -> None:
    deploy(live, "v2")
    kill_daemon(live)
    live.start()
    noted(live, "ended first")
    nothing_retires(live)
    begin(live, "second")
    assert notes(live) == ["began first", "ended first", "began second"]


def test_daemon_that_ends_waits_for_the_task(live: Site) -> None:
    live.daemons[-1].process.send_signal(signal.SIGTERM)
    assert live.daemons[-1].process.wait(LIMIT_S) == 0
    assert notes(live) == ["began first", "ended first"]
