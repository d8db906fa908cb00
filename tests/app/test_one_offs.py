"""Commands that somebody runs by hand: what they get, and the trees that are kept for them, on a machine in memory."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slot_machine.app.one_offs import Wish
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import BadRequest, NothingLive, StageFailed
from slot_machine.core.model import Version
from slot_machine.host.git.worktrees import Protected
from slot_machine.host.process import proc
from slot_machine.host.process.containment import MARK
from slot_machine.state.one_offs import OneOff
from tests.app.stories import SIDE_RUNS, WITHOUT_PROBES, a_is_live, a_was_live, deploy, machine, rollback
from tests.fakes import Machine, run

CONFIG = WITHOUT_PROBES | {"processes": SIDE_RUNS}


@contextmanager
def process(mark: str = "") -> Iterator[int]:
    env = {**os.environ, **({MARK: mark} if mark else {})}
    with subprocess.Popen(["sleep", "600"], env=env) as sleeping:
        try:
            # A program that has just begun has no environment to be seen for a moment.
            while f"{MARK}={mark}".encode() not in Path(f"/proc/{sleeping.pid}/environ").read_bytes() and mark:
                time.sleep(0.001)
            yield sleeping.pid
        finally:
            sleeping.kill()


def in_use(machine: Machine) -> list[str]:
    live = machine.store.state().live
    assert live
    return machine.app.one_offs.in_tree(live.tree)


def test_what_it_gets(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            one_offs = made.app.one_offs
            with pytest.raises(NothingLive, match="nothing is live"):
                one_offs.begin(os.getpid(), Wish("env"))
            await a_is_live(made)
            with pytest.raises(NothingLive, match="no previous version"):
                one_offs.begin(os.getpid(), Wish("env", previous=True))
            with pytest.raises(BadRequest) as refused:
                one_offs.begin(os.getpid(), Wish("env", "nope"))
            assert refused.value.hint == "it has: web, worker, clock"
            live = made.store.state().live
            assert live

            plain = one_offs.begin(os.getpid(), Wish("env"))
            worker = one_offs.begin(os.getpid(), Wish("env", "worker"))

            assert (plain.version, plain.folder) == (live, made.trees.path(live.tree))
            own = {MARK: plain.environment[MARK]}
            assert plain.environment == {**made.launcher.environment(live, None, {}), **own}  # type: ignore[arg-type]
            more = dict(worker.environment.items() - plain.environment.items())
            assert (more.pop(MARK) != own[MARK], more) == (True, {"PROCESS": "worker", "PROCESS_INDEX": "1"})

    run(story())


def test_bad_env_file_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            made.launcher.failures.append(StageFailed("start", "env_file, line 2"))
            with pytest.raises((StageFailed, NothingLive)):
                made.app.one_offs.begin(os.getpid(), Wish("env", previous=True))
            assert made.store.one_offs() == []

    run(story())


def test_tree_is_in_use_until_client_and_command_have_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            with process() as client:
                mark = made.app.one_offs.begin(client, Wish("rails")).environment[MARK]
                assert in_use(made) == [f"`slot-machine run rails` (pid {client}) in aaaaaaaa in slot a"]
            with process(mark):
                assert len(in_use(made)) == 1, "what the command has started runs on"
            assert in_use(made) == []
            assert made.store.one_offs() == []

    run(story())


@pytest.mark.parametrize("before", [True, False], ids=["seen before", "never seen"])
def test_tree_is_kept_for_a_client_that_cannot_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    """A daemon of fewer rights does not see root's client, where /proc is mounted with `hidepid`."""

    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            with process() as client, monkeypatch.context() as hidden:
                if before:
                    made.app.one_offs.begin(client, Wish("rails"))
                hidden.setattr(proc, "stat", lambda _: None)
                hidden.setattr(proc, "stats", lambda: iter(()))
                if not before:
                    made.app.one_offs.begin(client, Wish("rails"))
                assert len(in_use(made)) == 1
                hidden.undo()
                assert len(in_use(made)) == 1
            assert in_use(made) == []

    run(story())


def test_nothing_of_before_the_boot_is_in_use(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            made.app.one_offs.begin(os.getpid(), Wish("rails"))
            (known,) = made.store.one_offs()
            made.store.forget_one_off(known)
            identity = known.identity
            earlier = type(identity)(identity.pid, identity.start_ticks, "another boot", identity.mark)
            made.store.save_one_off(OneOff(earlier, known.version, "rails", ""))

            assert in_use(made) == []

    run(story())


def test_deploys_go_on_and_leave_the_tree_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            live = made.store.state().live
            assert live
            with process() as client:
                made.app.one_offs.begin(client, Wish("rails"))
                for commit in ("b", "c", "b", "c"):
                    assert isinstance(await deploy(made, commit), Done)
                    assert made.trees.heads[live.tree] == live.commit

    run(story())


def test_previous_version_is_not_prepared_again_over_a_command(tmp_path: Path) -> None:
    """Neither where it is, nor elsewhere: its folder is the one that the command is in."""

    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            await deploy(made, "b")
            previous = made.store.state().previous
            assert previous
            with process() as client:
                begun = made.app.one_offs.begin(client, Wish("rails", previous=True))
                assert begun.version == previous
                made.store.save_contents(previous.tree, None)
                with pytest.raises(NothingLive, match="does not hold it any more"):
                    made.app.one_offs.begin(client, Wish("rails", previous=True))

                outcome = await rollback(made)

                assert isinstance(outcome, StageFailed)
                assert "slot-machine run rails" in str(outcome)
            assert isinstance(await rollback(made), Done)

    run(story())


def test_live_version_comes_back_beside_a_command_that_has_changed_its_tree(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_was_live(made)
            before = made.store.state()
            assert before.live
            with process() as client:
                made.app.one_offs.begin(client, Wish("a shell"))
                made.trees.heads[before.live.tree] = "another"
                await made.deployer.recover()

                after, release = made.store.state(), made.supervisor.release
                assert after.live
                assert release
                assert release.running
                assert release.version == after.live == before.live.moved(before.live.slot, before.spare_tree)
                assert made.trees.heads[after.live.tree] == after.live.commit
                assert made.trees.heads[before.live.tree] == "another", "the command goes on in it"
                assert after.previous == before.previous
                assert made.store.attempts(1)[0].result == "succeeded"

    run(story())


def test_command_that_begins_just_before_its_tree_is_overwritten(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, WITHOUT_PROBES | {"spare_tree": False}) as made:
            await a_is_live(made)
            await deploy(made, "b")
            protect = made.trees.protect

            async def begin(role: Protected, commit: str) -> None:
                await protect(role, commit)
                if role == "next":
                    made.app.one_offs.begin(os.getpid(), Wish("rails", previous=True))

            made.trees.protect = begin  # type: ignore[method-assign]
            outcome = await deploy(made, "c")

            assert isinstance(outcome, StageFailed)
            assert "slot-machine run rails" in str(outcome)
            assert made.deployer.previous_ready

    run(story())


def test_names_of_processes_are_those_of_the_version(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path, CONFIG) as made:
            await a_is_live(made)
            release = made.supervisor.release
            assert release
            seen: list[dict[str, int]] = []

            def environment(_: Version, _stage: object, ports: dict[str, int]) -> dict[str, str]:
                seen.append(ports)
                return {}

            made.launcher.environment = environment  # type: ignore[method-assign, assignment]
            made.app.one_offs.begin(os.getpid(), Wish("env", "web"))
            assert seen == [{"PORT": release.web.port, "INTERNAL_PORT": release.web.internal_port}]

    run(story())
