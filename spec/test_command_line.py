from pathlib import Path

from .orchestrator import Orchestrator
from .project import Project

COMMANDS = ("init", "start", "deploy", "rollback", "status", "version")


def test_no_args(orchestrator: Orchestrator, tmp_path: Path) -> None:
    result = orchestrator.run(cwd=tmp_path)

    assert result.returncode == 1
    assert "usage" in result.stderr
    assert [command for command in COMMANDS if command not in result.stderr] == []
    assert result.stdout == ""


def test_unknown_command(orchestrator: Orchestrator, tmp_path: Path) -> None:
    result = orchestrator.run("frobnicate", cwd=tmp_path)

    assert result.returncode != 0
    assert "unknown command" in result.stderr
    assert result.stdout == ""


def test_start_with_missing_config(orchestrator: Orchestrator, tmp_path: Path) -> None:
    result = orchestrator.run("start", "--no-proxy", cwd=tmp_path)

    assert result.returncode != 0
    assert "slot-machine.json" in result.stderr
    assert "slot-machine init" in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_deploy_with_no_daemon(project: Project) -> None:
    project.configure()
    project.commit("v1")
    below = project.repo / "some" / "folder"
    below.mkdir(parents=True)

    for folder in (project.repo, below):
        result = project.orchestrator.run("deploy", cwd=folder)

        assert result.returncode != 0
        assert "cannot reach" in result.stderr
        assert result.stdout == ""
