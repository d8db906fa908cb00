"""The branch that is pushed to, in real repositories."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from slot_machine.host.git.branches import KEY, LIVE, TIPS, Branches
from tests.repository import Repository

MAIN = "refs/heads/main"

T = TypeVar("T")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With two commits on main, whose pushes are deployed."""
    repository = Repository(tmp_path)
    repository.commit({"v": "1"})
    repository.commit({"v": "2"})
    repository.git("config", KEY, "main")
    return repository


def ask(repository: Repository, question: Callable[[Branches], Awaitable[T]], configured: str = "") -> T:
    async def asked() -> T:
        return await question(Branches(repository.path, repository.slot.parent, configured))

    return asyncio.run(asked())


def commits(repository: Repository) -> list[str]:
    """The earliest first."""
    return repository.git("rev-list", "--reverse", "main").split()


def follow(repository: Repository, commit: str) -> str:
    return ask(repository, lambda branches: branches.follow(MAIN, commit, "slot-machine: rollback 2"))


def test_which_branch_is_deployed(repository: Repository) -> None:
    def deployed(configured: str = "") -> str:
        return ask(repository, lambda branches: branches.deployed(), configured)

    assert deployed() == MAIN
    assert deployed("release/1") == "refs/heads/release/1"
    repository.git("config", KEY, "HEAD")
    repository.git("checkout", "--quiet", "-b", "next")
    assert deployed() == "refs/heads/next"
    repository.git("checkout", "--quiet", "--detach")
    assert deployed() == ""
    repository.git("config", "--unset", KEY)
    assert deployed("release/1") == ""


def test_a_branch_is_chosen_only_where_head_leads_to_none(repository: Repository) -> None:
    def is_free(configured: str = "") -> bool:
        return ask(repository, lambda branches: branches.is_free_to_choose(), configured)

    assert not is_free()
    repository.git("config", KEY, "HEAD")
    assert not is_free()
    repository.git("symbolic-ref", "HEAD", "refs/heads/none")
    assert is_free()
    assert not is_free("main")
    ask(repository, lambda branches: branches.choose(MAIN))
    assert repository.git("symbolic-ref", "HEAD") == MAIN


def test_a_branch_that_goes_back_keeps_its_tip_and_its_log(repository: Repository) -> None:
    first, second = commits(repository)

    assert follow(repository, first) == second
    assert repository.git("rev-parse", "main", LIVE, f"{TIPS}/{second}").split() == [first, first, second]
    assert "slot-machine: rollback 2" in repository.git("reflog", "main")


def test_what_the_branch_contains_again_is_kept_no_longer(repository: Repository) -> None:
    first, second = commits(repository)
    follow(repository, first)

    assert follow(repository, second) == first
    assert repository.git("for-each-ref", TIPS) == ""


def test_a_working_tree_on_the_branch_stays_as_it_is(repository: Repository) -> None:
    first, second = commits(repository)
    (repository.path / "v").write_text("edited")
    before = repository.git("status", "--porcelain")
    follow(repository, first)

    assert (repository.path / "v").read_text() == "edited"
    assert (repository.git("status", "--porcelain"), repository.git("rev-parse", "HEAD")) == (before, second)
    assert repository.git("rev-parse", "main") == first
    repository.git("checkout", "--quiet", "--force", "main")
    assert (repository.path / "v").read_text() == "1"


def test_a_branch_that_is_not_there_yet_is_made(repository: Repository) -> None:
    first, _ = commits(repository)

    assert ask(repository, lambda branches: branches.follow("refs/heads/new", first, "deploy 1")) == ""
    assert repository.git("rev-parse", "new") == first


def test_what_git_says_of_commits_and_settings(repository: Repository) -> None:
    first, second = commits(repository)
    repository.git("config", "receive.denyDeletes", "yes")

    async def said(branches: Branches) -> list[object]:
        return [
            await branches.contains(second, first),
            await branches.contains(first, second),
            await branches.denies("receive.denyDeletes"),
            await branches.denies("receive.denyNonFastForwards"),
            await branches.tip("refs/heads/none"),
            set(await branches.checked_out()),
        ]

    assert ask(repository, said) == [True, False, True, False, "", {MAIN}]
