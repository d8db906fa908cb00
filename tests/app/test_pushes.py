"""What a push does, and where its branch is afterwards, on a machine in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slot_machine.app.outcomes import Done, Outcome, Unchanged
from slot_machine.app.pushes import Update
from slot_machine.core.errors import Busy, Cancelled, PushRefused, StageFailed
from slot_machine.core.origin import Origin
from slot_machine.host.git.branches import LIVE, TIPS
from tests.app.stories import WITHOUT_PROBES, deploy, ignored, machine, rollback
from tests.app.watch_stories import BAD, GOOD, watched
from tests.fakes import COMMITS, Machine, run, until
from tests.push_fakes import Branches

A, B, C = (COMMITS[name] for name in "abc")
NOTHING = "0" * 40
MAIN, DEV = "refs/heads/main", "refs/heads/dev"


def branches(made: Machine) -> Branches:
    found = made.app.branch.branches
    assert isinstance(found, Branches)
    return found


@asynccontextmanager
async def pushed_to(
    tmp_path: Path, live: str = "", config: Mapping[str, object] = WITHOUT_PROBES
) -> AsyncIterator[Machine]:
    """HEAD leads to main. `live` is the commit that was pushed to it."""
    async with machine(tmp_path, config) as made:
        of = branches(made)
        of.head, of.parents = "main", {B: A, C: B}
        keeping = asyncio.create_task(made.app.branch.keep())
        if live:
            assert isinstance(await push(made, NOTHING, live), Done)
        yield made
        keeping.cancel()


async def push(made: Machine, old: str, new: str, ref: str = MAIN, who: str = "ada") -> Outcome:
    """Raises Busy, PushRefused."""
    plan = await made.app.pushes.plan([Update(ref, old, new)])
    return await made.app.pushes.begin(plan, ignored, Origin(who))


async def soon(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(100):
        await until(condition)


async def turns(condition: Callable[[], object]) -> None:
    """Of the event loop, in which no time passes."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_a_push_is_deployed_and_then_the_branch_moves(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            assert branches(made).refs == {MAIN: A, LIVE: A}
            assert isinstance(await push(made, A, B), Done)
            assert branches(made).refs == {MAIN: B, LIVE: B}
            last = made.store.attempts(1)[0]
            assert (last.trigger, last.who, last.ref) == ("push", "ada", "main")
            assert branches(made).log[-1] == f"slot-machine: deploy {last.id} by ada"

    run(story())


def test_a_push_that_fails_leaves_the_branch(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            made.launcher.failures.append(StageFailed("health", "it answered 500"))
            assert isinstance(await push(made, A, B), StageFailed)
            assert branches(made).refs == {MAIN: A, LIVE: A}
            assert isinstance(await push(made, A, B), Done), "the same push tries it again"

    run(story())


@pytest.mark.parametrize(
    ("old", "new", "denied", "words"),
    [
        (A, NOTHING, "", "can't be deleted"),
        (B, C, "", "has moved since your git looked: it is at aaaaaaaa"),
        (NOTHING, B, "", "has moved since"),
        (A, "e" * 40, "receive.denyNonFastForwards", "not a fast-forward"),
    ],
)
def test_what_git_would_refuse_is_refused_before_anything_is_deployed(
    tmp_path: Path, old: str, new: str, denied: str, words: str
) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            branches(made).denied = {denied}
            refused = await push(made, old, new)
            assert isinstance(refused, PushRefused)
            assert words in str(refused)
            assert len(made.store.attempts(9)) == 1, "nothing else was begun"
            assert branches(made).refs[MAIN] == A

    run(story())


def test_a_forced_push_keeps_the_old_tip(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, B) as made:
            branches(made).parents = {B: A, C: A}
            assert isinstance(await push(made, B, C), Done)
            assert branches(made).refs == {MAIN: C, LIVE: C, f"{TIPS}/{B}": B}

    run(story())


def test_a_second_push_is_told_who_is_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            first = asyncio.create_task(push(made, A, B))
            await turns(lambda: (running := made.deployer.operations.running) and running.record.commit)
            with pytest.raises(Busy, match=r"deploy of bbbbbbbb by ada, stage \w+, since \d\d:\d\d:\d\d UTC") as busy:
                await push(made, A, C, who="bob")
            assert "cancel" in busy.value.hint
            assert "git push -o wait" in busy.value.hint
            assert isinstance(await first, Done)

    run(story())


def test_a_push_that_has_waited_goes_on_from_what_was_deployed_meanwhile(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            plan = await made.app.pushes.plan([Update(MAIN, A, C)])
            assert isinstance(await push(made, A, B), Done)
            assert isinstance(await made.app.pushes.begin(plan, ignored, Origin("bob"), waited=True), Done)
            assert branches(made).refs == {MAIN: C, LIVE: C}

    run(story())


def test_a_push_that_has_waited_does_not_undo_what_was_deployed_meanwhile(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            branches(made).parents = {B: A, C: A}
            plan = await made.app.pushes.plan([Update(MAIN, A, C)])
            assert isinstance(await push(made, A, B), Done)
            refused = await made.app.pushes.begin(plan, ignored, Origin("bob"), waited=True)
            assert isinstance(refused, PushRefused)
            assert "has moved since your git looked" in str(refused)
            assert branches(made).refs[MAIN] == B

    run(story())


def test_two_pushes_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    """The second one looks where the branch is only when the first one has ended."""

    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            plans = [await made.app.pushes.plan([Update(MAIN, A, new)]) for new in (B, C)]
            first = made.app.pushes.begin(plans[0], ignored, Origin("ada"))
            await made.deployer.operations.turn(asyncio.get_running_loop().create_future())
            second = made.app.pushes.begin(plans[1], ignored, Origin("bob"))
            assert isinstance(await first, Done)
            assert isinstance(await second, PushRefused)
            assert branches(made).refs[MAIN] == B

    run(story())


def test_the_branch_follows_a_pusher_who_has_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            plan = await made.app.pushes.plan([Update(MAIN, A, B)])
            made.app.pushes.begin(plan, ignored, Origin("ada"))
            await soon(lambda: branches(made).refs[MAIN] == B)

    run(story())


def test_a_cancelled_push_leaves_the_branch(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            plan = await made.app.pushes.plan([Update(MAIN, A, B)])
            pushing = made.app.pushes.begin(plan, ignored, Origin("ada"))
            await turns(lambda: made.deployer.operations.running)
            await made.deployer.operations.cancel()
            assert isinstance(await pushing, Cancelled)
            assert branches(made).refs == {MAIN: A, LIVE: A}

    run(story())


def test_the_branch_follows_rollbacks_and_deploys(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            await push(made, A, B)
            assert isinstance(await rollback(made), Done)
            assert branches(made).refs == {MAIN: A, LIVE: A, f"{TIPS}/{B}": B}
            assert isinstance(await deploy(made, "c"), Done)
            assert branches(made).refs[MAIN] == C

    run(story())


def test_a_push_of_what_is_live_moves_the_branch_only(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            branches(made).refs[MAIN] = C  # Somebody has moved it.
            assert isinstance(await push(made, C, A), Unchanged)
            assert branches(made).refs[MAIN] == A

    run(story())


def test_what_is_on_the_branch_stays_while_nothing_else_becomes_live(tmp_path: Path) -> None:
    """A new daemon, or a failed deploy, does not take back what somebody has committed on the server."""

    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            branches(made).refs[MAIN] = B
            made.launcher.failures.append(StageFailed("health", "it answered 500"))
            await deploy(made, "b")
            made.app.branch._seen = None  # As a new daemon.
            await made.app.branch.follow()
            assert branches(made).refs == {MAIN: B, LIVE: A}

    run(story())


def test_a_daemon_that_was_killed_in_the_switch_has_moved_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, B) as made:
            branches(made).refs |= {MAIN: A, LIVE: A}
            made.app.branch._seen = None
            await made.app.branch.follow()
            assert branches(made).refs[MAIN] == B

    run(story())


def test_a_branch_that_can_t_be_moved_is_told_and_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            of = branches(made)
            of.fails = True
            outcome = await push(made, A, B)
            assert isinstance(outcome, StageFailed)
            assert "is live, but the branch can't follow: no space" in str(outcome)
            of.fails = False
            await soon(lambda: of.refs[MAIN] == B)

    run(story())


def test_other_branches_are_not_deployed(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            of = branches(made)
            of.of_working_trees, of.refs["refs/heads/old"] = {"refs/heads/open"}, A
            updates = [
                Update(DEV, NOTHING, B),
                Update("refs/heads/open", NOTHING, B),
                Update("refs/heads/old", B, C),
            ]
            plan = await made.app.pushes.plan(updates)
            assert plan.deployed is None
            refused = await made.app.pushes.refusals(plan.others)
            assert {ref: why[:20] for ref, why in refused.items()} == {
                "refs/heads/open": "open is checked out ",
                "refs/heads/old": "old has moved since ",
            }

    run(story())


def test_the_deployed_branch_is_not_pushed_atomically_with_others(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            both = [Update(MAIN, A, B), Update(DEV, NOTHING, B)]
            with pytest.raises(PushRefused, match="--atomic"):
                await made.app.pushes.plan(both, atomic=True)
            assert (await made.app.pushes.plan(both[:1], atomic=True)).deployed

    run(story())


@pytest.mark.parametrize(
    ("pushed", "chosen"), [(["dev"], "dev"), (["dev", "main"], "main"), (["dev", "trunk"], "trunk"), (["a", "b"], "a")]
)
def test_the_first_branch_is_the_deployed_one(tmp_path: Path, pushed: list[str], chosen: str) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path) as made:
            branches(made).head = "trunk"
            plan = await made.app.pushes.plan([Update(f"refs/heads/{name}", NOTHING, A) for name in pushed])
            assert plan.branch == f"refs/heads/{chosen}"
            assert isinstance(await made.app.pushes.begin(plan, ignored, Origin()), Done)
            assert branches(made).head == chosen
            assert branches(made).refs == {f"refs/heads/{chosen}": A, LIVE: A}

    run(story())


def test_nobody_can_push_where_that_was_not_set_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path) as made:
            branches(made).head = ""
            assert isinstance(await deploy(made, "a"), Done)
            with pytest.raises(PushRefused, match="of no branch"):
                await push(made, NOTHING, A)
            assert branches(made).refs == {}

    run(story())


def test_files_of_which_only_pointers_were_pushed_fail_the_deploy_by_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A) as made:
            made.trees.pointers = ["a.png", "b.png", "c.png", "d.png"]
            failed = await push(made, A, B)
            assert isinstance(failed, StageFailed)
            assert (failed.stage, "not the files: a.png, b.png, c.png and 1 more" in str(failed)) == ("setup", True)
            assert "git lfs install" in failed.hint
            assert branches(made).refs[MAIN] == A

    run(story())


@pytest.mark.usefixtures("judged")
def test_the_branch_goes_back_with_a_watched_version_that_is_worse(tmp_path: Path) -> None:
    async def story() -> None:
        async with pushed_to(tmp_path, A, WITHOUT_PROBES | {"watch_ms": 4_000}) as made:
            pushing = asyncio.create_task(push(made, A, B))
            await watched(made)
            await soon(lambda: branches(made).refs[MAIN] == B)
            made.evidence.new, made.evidence.old = BAD, GOOD
            assert isinstance(await pushing, StageFailed)
            assert branches(made).refs == {MAIN: A, LIVE: A, f"{TIPS}/{B}": B}

    run(story())
