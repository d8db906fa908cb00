from .daemon import NOTHING, Status, Version
from .project import Project


def test_deploy_then_rollback(project: Project) -> None:
    setups = project.folder / "setups"
    daemon = project.start(setup_command=f"echo once more >> '{setups}'")
    first = project.commit("v1")
    daemon.must_deploy(first)
    second = project.commit("v2")
    daemon.must_deploy(second)

    assert daemon.rollback().says(200, {"success": True, "slot": "a", "commit": first})

    status = daemon.status()
    assert (status.live, status.healthy) == (Version("a", first), True)
    assert status.previous in (Version("b", second), NOTHING)
    assert project.serving() == "v1"
    assert not any(process.alive() for process in project.processes("v2"))
    assert len(setups.read_text().splitlines()) == 2, "a rollback installs nothing again"


def test_only_one_previous_slot(project: Project) -> None:
    daemon = project.start()
    first, second, third = (daemon.must_deploy(project.commit(version)) for version in ("v1", "v2", "v3"))
    assert [reply.body["slot"] for reply in (first, second, third)] == ["a", "b", "a"]
    assert daemon.status().previous == ("b", second.body["commit"])

    assert daemon.rollback().says(200, {"success": True, "slot": "b", "commit": second.body["commit"]})
    assert daemon.status().live == ("b", second.body["commit"])
    assert project.serving() == "v2"

    again = daemon.rollback()

    assert again.status in (200, 409)
    assert project.serving() == ("v3" if again.status == 200 else "v2"), "the first version is gone for good"


def test_rollback_with_no_previous(project: Project) -> None:
    daemon = project.start()
    assert daemon.status() == Status(NOTHING, NOTHING, last_deploy_time="", healthy=False)

    for version in ("nothing", "v1"):
        if version == "v1":
            daemon.must_deploy(project.commit(version))

        refused = daemon.rollback()

        assert refused.status == 409
        assert refused.body["success"] is False
        assert isinstance(refused.body["stage"], str)
        assert refused.body["error"]

    assert project.serving() == "v1"
    assert len(project.processes("v1")) == 1, "a refusal leaves the live process alone"
    assert project.orchestrator.run("rollback", cwd=project.repo).returncode != 0
