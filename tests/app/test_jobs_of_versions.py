"""Jobs through deploys and rollbacks, on a machine in memory."""

import asyncio
from pathlib import Path

import pytest

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.custody import Custody
from slot_machine.app.jobs import LOOK_S
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from tests.app.job_stories import DAY_S, EACH_MINUTE, HOUR_S, MINUTE_S, NIGHTLY, Story, tell
from tests.fakes import COMMITS, until


def test_a_long_run_holds_up_neither_other_jobs_nor_deploys(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = 10 * MINUTE_S
        await until(lambda: of.times)
        of.jobs.takes_s = 5
        warnings = []
        for commit in "bcdef":
            warnings.append((await of.deploy(commit, cron={"often": EACH_MINUTE})).warnings)
            await asyncio.sleep(MINUTE_S)
        assert warnings[:2] == [(), ()]
        assert warnings[2] == (
            "job long of aaaaaaaa in slot a still runs in the third tree, so bbbbbbbb in slot b is overwritten:"
            " a rollback to it prepares it again",
        )
        assert [(begun.job, begun.commit, begun.tree) for begun in of.jobs.begun[:3]] == [
            ("long", "a", 1),
            ("often", "b", 2),
            ("often", "c", 3),
        ]
        assert 1 not in {begun.tree for begun in of.jobs.begun[1:]}
        assert of.daemon.runs.in_tree(1) == ["job long of aaaaaaaa in slot a"]
        await asyncio.sleep(10 * MINUTE_S)
        assert {attempt.result for attempt in of.history if attempt.job == "long"} == {"succeeded"}
        assert of.daemon.runs.in_tree(1) == []

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


def test_a_run_under_way_at_a_switch_ends_in_its_own_tree(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = 55
        await asyncio.sleep(MINUTE_S)
        (of.machine.trees.path(2) / "apps/web").mkdir(parents=True)
        await of.deploy("b", cron={"often": EACH_MINUTE}, root="apps/web")
        await asyncio.sleep(MINUTE_S)
        assert of.jobs.begun == [("often", "a", 1, "06-01 12:01:00"), ("often", "b", 2, "06-01 12:02:00")]
        assert of.jobs.folders == [of.machine.trees.path(1), of.machine.trees.path(2) / "apps/web"]
        assert [(run.result, run.commit[0], run.slot) for run in of.history] == [
            ("succeeded", "a", "a"),
            ("running", "b", "b"),
        ]
        last = of.machine.deployer.attempts.last
        assert last
        assert (last.kind, last.commit) == ("deploy", COMMITS["b"])

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_a_job_ends_with_the_version_that_has_it(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(MINUTE_S)
        await of.deploy("b", cron={"renamed": EACH_MINUTE})
        assert [job.name for job in of.daemon.overview()] == ["renamed"]
        await asyncio.sleep(MINUTE_S)
        await of.deploy("c")
        assert of.daemon.overview() == []
        await asyncio.sleep(5 * MINUTE_S)
        await of.machine.deployer.rollback("cli", lambda _: None)
        assert [job.last for job in of.daemon.overview()] == ["2026-06-01T12:02:00.000Z"]
        await asyncio.sleep(MINUTE_S)
        assert [(begun.job, begun.at) for begun in of.jobs.begun] == [
            ("often", "06-01 12:01:00"),
            ("renamed", "06-01 12:02:00"),
            ("renamed", "06-01 12:08:00"),
        ]
        assert of.results == ["succeeded"] * 3

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


@pytest.mark.usefixtures("days")
def test_another_schedule_counts_from_the_switch(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await asyncio.sleep(DAY_S)
        await of.deploy("b", cron={"nightly": NIGHTLY | {"schedule": "0 5 * * *"}})
        await asyncio.sleep(DAY_S)
        assert of.times == ["06-02 01:00:00", "06-03 03:00:00"]
        assert of.results == ["succeeded"] * 2

    tell(tmp_path, story, cron={"nightly": NIGHTLY})


def test_one_that_is_due_during_a_switch_starts_right_after_it_in_the_new_version(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        await of.machine.supervisor.pause()
        await asyncio.sleep(3 * MINUTE_S)
        assert of.jobs.begun == []
        assert of.daemon.overview()[0].overdue
        await of.deploy("b", cron={"often": EACH_MINUTE})
        await asyncio.sleep(LOOK_S)
        assert not of.daemon.overview()[0].overdue
        assert of.jobs.begun == [("often", "b", 2, "06-01 12:03:31")]
        await asyncio.sleep(MINUTE_S)
        assert of.times[1:] == ["06-01 12:04:00"]
        assert of.results == ["succeeded"] * 2

    tell(tmp_path, story, cron={"often": EACH_MINUTE})


def test_one_that_is_overdue_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(of: Story) -> None:
        await of.machine.supervisor.pause()
        await asyncio.sleep(5 * MINUTE_S)
        live = of.machine.store.state().live
        assert live
        await of.machine.supervisor.resume(live)

    tell(tmp_path, story, cron={"often": EACH_MINUTE})
    assert caplog.text.count("job often is overdue: it was due at 2026-06-01T12:01:00.000Z") == 1


def test_a_tree_with_a_run_is_never_overwritten(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.deploy("b", cron={"other": EACH_MINUTE})
        await asyncio.sleep(MINUTE_S)
        await of.deploy("c", cron={})
        told: list[object] = []
        refused = await of.machine.deployer.deploy("d", "cli", told.append)
        assert isinstance(refused, StageFailed)
        assert refused.stage == "checkout"
        assert "waits for" not in str(told)
        assert refused.warnings == ()
        assert "tree-2 can't be overwritten, as this still runs in it: job other of bbbbbbbb in slot b" in str(refused)
        assert of.machine.trees.heads == {1: COMMITS["a"], 2: COMMITS["b"], 3: COMMITS["c"]}
        of.jobs.runs[1].end(0)
        await asyncio.sleep(1)
        await of.deploy("d", cron={})
        assert of.machine.trees.heads[1] == COMMITS["a"]

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


def test_without_a_previous_version_any_free_tree_will_do(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.deploy("a", cron={})
        await of.deploy("a", cron={})
        await of.deploy("a", cron={})
        assert of.machine.trees.heads == dict.fromkeys((1, 2, 3), COMMITS["a"])
        live = of.machine.store.state().live
        assert live
        assert live.tree == 2

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


def test_a_rollback_starts_a_version_whose_job_still_runs(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.deploy("b", cron={})
        assert isinstance(await of.machine.deployer.rollback("cli", lambda _: None), Done)
        await asyncio.sleep(MINUTE_S)
        assert of.results == ["running", "missed"]

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


def test_a_rollback_that_must_be_prepared_again_is_refused_while_a_job_runs_there(tmp_path: Path) -> None:
    async def story(of: Story) -> None:
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        await of.deploy("b", cron={})
        of.machine.store.save_contents(1, None)
        refused = await of.machine.deployer.rollback("cli", lambda _: None)
        assert isinstance(refused, StageFailed)
        assert "tree-1 can't be overwritten" in str(refused)
        assert of.machine.trees.heads[1] == COMMITS["a"]

    tell(tmp_path, story, cron={"long": EACH_MINUTE})


@pytest.mark.parametrize("runs", [True, False])
def test_what_a_job_finds_in_its_tree_is_not_moved_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    moved: list[int] = []

    async def set_aside(_: Custody, _attempt: RunningAttempt, version: Version) -> None:
        moved.append(version.tree)

    async def story(of: Story) -> None:
        monkeypatch.setattr(Custody, "set_aside", set_aside)
        of.jobs.takes_s = HOUR_S
        await asyncio.sleep(MINUTE_S)
        if not runs:
            of.jobs.runs[0].end(0)
            await asyncio.sleep(1)
        await of.deploy("b", cron={})
        await of.deploy("c", cron={})
        assert moved == ([] if runs else [1])

    tell(tmp_path, story, cron={"long": EACH_MINUTE})
