"""Who began an attempt and what its commit is called, on the machine in memory."""

from pathlib import Path

from slot_machine.app.commits import Commits
from slot_machine.app.outcomes import PLAIN, Done
from slot_machine.core.errors import GitFailed
from slot_machine.core.origin import Description, Origin
from tests.app.stories import ignored, machine
from tests.fakes import COMMITS, Faults, Machine, raising, run

ADA = Origin("ada", "because", "main")


async def deployed(made: Machine, commit: str, origin: Origin = ADA) -> Done:
    done = await made.deployer.deploy(commit, "cli", ignored, PLAIN, origin)
    assert isinstance(done, Done)
    return done


def test_history_says_who_deployed_what_and_why(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deployed(made, "a")
            await deployed(made, "b", Origin("bob"))
            assert isinstance(await made.deployer.rollback("api", ignored, Origin("eve", "it was slow")), Done)
            back, second, first = made.store.attempts(3)
            assert (first.who, first.message, first.ref) == ("ada", "because", "main")
            assert (first.subject, first.author) == ("Subject of a", "Ada")
            assert (second.who, second.message, second.subject) == ("bob", "", "Subject of b")
            assert (back.who, back.message, back.ref, back.subject) == ("eve", "it was slow", "", "Subject of a")

    run(story())


def test_deploy_goes_on_if_git_can_not_tell_the_subject(tmp_path: Path) -> None:
    async def story() -> None:
        faults = Faults(at=4, strike=raising(GitFailed("no such object")))
        async with machine(tmp_path, faults=faults) as made:
            await deployed(made, "a")
            assert faults.names[3] == "describe"
            assert made.store.attempts(1)[0].subject == ""

    run(story())


def test_next_daemon_knows_the_subject_from_the_history(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await deployed(made, "a")
            commits, commit = Commits(made.trees, made.store), COMMITS["a"]
            assert commits.known(commit) == Description("Subject of a", "Ada")
            made.faults.names.clear()
            await commits.learn([commit, commit])
            assert made.faults.names == ["describe"]
            assert commits.known(commit).committed_at

    run(story())
