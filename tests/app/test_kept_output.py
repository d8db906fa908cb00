"""What is kept and told of the output of commands, and that it has no value of `env_file`, on the machine in memory."""

from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Printed, Progress
from tests.app.stories import ALL_COMMANDS, deploy, ignored, machine, rollback
from tests.fakes import Machine, processes_of, run, until

SECRET = "s3cr3t-t0ken"


def test_output_of_setup_build_and_release_is_kept(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, ALL_COMMANDS) as made:
            await deploy(made, "a")
            made.shell.prints = b"\xff no line feed"
            await deploy(made, "b")
            await rollback(made)
            assert [made.store.output(number) for number in (1, 2, 3)] == [
                dict.fromkeys(("setup", "build", "release"), "installing\n"),
                dict.fromkeys(("setup", "build", "release"), "\\xff no line feed"),
                {},
            ]

    run(story())


@pytest.mark.parametrize("fails", ["setup", "build", "release"])
def test_output_of_a_command_that_failed_is_kept(tmp_path: Path, fails: str) -> None:
    async def story() -> None:
        async with machine(tmp_path, ALL_COMMANDS) as made:
            made.shell.fails = fails
            assert isinstance(await deploy(made, "a"), StageFailed)
            assert made.store.output(1)[fails] == "installing\n"

    run(story())


def test_deploy_goes_on_if_its_output_can_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slot_machine.state.outputs.LEAST_FREE_BYTES", 1 << 60)

    async def story() -> None:
        async with machine(tmp_path, ALL_COMMANDS) as made:
            assert isinstance(await deploy(made, "a"), Done)
            assert made.store.output(1) == {}

    run(story())


def knowing(made: Machine) -> Machine:
    made.launcher.masking.learn({"KEY": SECRET})
    return made


def test_no_value_is_in_the_output_that_is_kept_or_told(tmp_path: Path) -> None:
    heard: list[Progress | Printed] = []

    async def story() -> None:
        async with machine(tmp_path, ALL_COMMANDS) as made:
            knowing(made).shell.prints = f"it is {SECRET}\n and {SECRET}".encode()
            await made.deployer.deploy("a", "cli", heard.append)
            assert made.store.output(1)["setup"] == "it is [KEY]\n and [KEY]"

    run(story())
    printed = b"".join(line.piece for line in heard if isinstance(line, Printed))
    assert printed == b"it is [KEY]\n and [KEY]" * 3
    assert SECRET not in str(heard)


def test_no_value_is_in_errors_and_warnings(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            failure = StageFailed("health", f"it said {SECRET}", (f"last {SECRET}",), f"remove {SECRET}")
            knowing(made).launcher.failures.append(failure)
            made.launcher.dropped.append(SECRET)
            failed = await made.deployer.deploy("a", "cli", ignored)
            assert isinstance(failed, StageFailed)
            assert (str(failed), failed.output, failed.hint) == ("it said [KEY]", ("last [KEY]",), "remove [KEY]")
            assert "[KEY]" in failed.warnings[0]
            made.deployer.attempts.warn(1, f"too late: {SECRET}")
            assert SECRET not in str(made.store.attempts(9))
            assert "too late: [KEY]" in made.store.attempts(9)[0].warnings

    run(story())


def test_no_value_is_in_the_reason_of_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, {"processes": {"worker": "work"}}) as made:
            await deploy(knowing(made), "a")
            made.launcher.failures.append(StageFailed("start", f"bad {SECRET}"))
            made.launcher.side_failures.append(StageFailed("start", f"bad {SECRET}"))
            release = made.supervisor.release
            assert release
            for one in list(release.runs.values()):
                processes_of(one).end(1)
            await until(lambda: all(watch.last_exit == "bad [KEY]" for watch in made.supervisor.watches.values()))

    run(story())
