from .daemon import Version
from .project import PYTHON, Project

ENV_FILE = """\
# settings of the app
PLAIN=value
export EXPORTED=exported
QUOTED="two words"
SINGLE='$literal # no comment'
PORT=1
"""


def test_env_file_reaches_the_app(project: Project) -> None:
    env_file = project.repo / "app.env"
    env_file.write_text(ENV_FILE)
    daemon = project.start(env_file="app.env")
    commit = project.commit("v1")
    daemon.must_deploy(commit)

    env = project.ask_app("/env")

    assert env["PLAIN"] == "value"
    assert env["EXPORTED"] == "exported"
    assert env["QUOTED"] == "two words"
    assert env["SINGLE"] == "$literal # no comment"
    assert env["PORT"] == env["INTERNAL_PORT"] == str(project.port)
    assert env["SLOT_MACHINE"] == "1"
    assert env["SLOT_MACHINE_SLOT"] == "a"
    assert env["SLOT_MACHINE_COMMIT"] == commit
    assert env["GIT_CONFIG_NOSYSTEM"] == "1", "the environment of the daemon is below it all"

    env_file.write_text("PLAIN=another\n")
    daemon.must_deploy(project.commit("v2"))

    env = project.ask_app("/env")
    assert env["PLAIN"] == "another", "the file is read afresh at every start"
    assert "EXPORTED" not in env


def test_setup_command_runs(project: Project) -> None:
    daemon = project.start(
        setup_command="echo installed > marker",
        start_command=f"test -f marker && {PYTHON} app.py",
    )
    commit = project.commit("v1")

    deployed = project.orchestrator.run("deploy", cwd=project.repo)

    assert deployed.returncode == 0, deployed.stderr
    assert deployed.stdout, "the result goes to stdout"
    assert daemon.status().live == Version("a", commit)
    assert (project.data / "slot-a" / "marker").read_text() == "installed\n"
    assert not (project.repo / "marker").exists()
