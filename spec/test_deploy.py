from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from .daemon import NOTHING, Version
from .ports import is_free
from .project import Project
from .waiting import wait_until


def test_deploy_healthy(project: Project) -> None:
    daemon = project.start()
    first = project.commit("v1")
    before = datetime.now(UTC)

    assert daemon.deploy(first[:10]).says(200, {"success": True, "slot": "a", "commit": first, "previous_commit": ""})

    status = daemon.status()
    assert (status.live, status.previous, status.healthy) == (Version("a", first), NOTHING, True)
    deployed_at = datetime.fromisoformat(status.last_deploy_time)
    assert before - timedelta(seconds=1) <= deployed_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert project.serving() == "v1"

    second = project.commit("v2")

    assert daemon.deploy("HEAD").says(200, {"success": True, "slot": "b", "commit": second, "previous_commit": first})

    status = daemon.status()
    assert (status.live, status.previous, status.healthy) == (Version("b", second), Version("a", first), True)
    assert project.serving() == "v2"
    assert not any(process.alive() for process in project.processes("v1"))


def test_deploy_unhealthy(project: Project) -> None:
    daemon = project.start(health_timeout_ms=2000, drain_timeout_ms=1000)
    commit = project.commit("v1", healthy=False)

    refused = daemon.deploy(commit)

    assert 500 <= refused.status <= 599
    assert refused.body["success"] is False
    assert refused.body["stage"] == "health"
    assert refused.body["error"]
    (process,) = project.processes("v1")
    wait_until("the unhealthy process is killed", lambda: not process.alive())
    assert is_free(project.port)
    status = daemon.status()
    assert (status.live, status.previous, status.healthy) == (NOTHING, NOTHING, False)


def test_concurrent_deploy_rejected(project: Project) -> None:
    daemon = project.start()
    gate = project.folder / "gate"
    slow = project.commit("slow", boot_gate=gate)
    hasty = project.commit("hasty")

    with ThreadPoolExecutor() as elsewhere:
        running = elsewhere.submit(daemon.deploy, slow)
        try:
            wait_until("the first deploy starts its app", lambda: project.processes("slow"))
            refusals = [daemon.deploy(hasty), daemon.rollback()]
        finally:
            gate.touch()

    for refused in refusals:
        assert refused.status == 409
        assert refused.body["success"] is False
        assert isinstance(refused.body["stage"], str)
        assert refused.body["error"]
    assert running.result().says(200, {"success": True, "slot": "a", "commit": slow, "previous_commit": ""})
    assert daemon.status().live == Version("a", slow)
    assert project.serving() == "slow"
    assert project.processes("hasty") == []
