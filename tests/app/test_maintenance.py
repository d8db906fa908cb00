"""When maintenance begins and ends, and what outlives what, on a machine in memory."""

from pathlib import Path

import pytest

from slot_machine.app.maintenance import MESSAGE, Maintenance
from slot_machine.app.outcomes import Done
from slot_machine.core.errors import BadRequest, ConfigError, Impossible
from slot_machine.proxy.wire import Maintenance as Order
from tests.app.stories import a_is_live, deploy, machine
from tests.fakes import Database, Faults, Machine, Mode, Traffic, run


def page_of(made: Machine, path: Path | None) -> Maintenance:
    return Maintenance(made.store, made.mode, path, made.trees.data)


def test_it_lasts_until_it_is_ended(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            await a_is_live(made)
            maintenance = made.app.maintenance
            await maintenance.end()
            await maintenance.begin("")
            first = maintenance.notice
            assert first
            await maintenance.begin("soon")
            assert maintenance.notice == first._replace(message="soon")
            assert first.message == MESSAGE
            assert isinstance(await deploy(made, "b"), Done)
            assert made.mode.maintenance == maintenance.order == Order("soon")
            await maintenance.end()
            assert made.mode.maintenance is None
            assert made.store.maintenance() is None

    run(story())


@pytest.mark.parametrize(("path", "warned"), [("/", True), ("/?deep", True), ("/healthz", False)])
def test_health_path_that_visitors_use_is_warned_of(tmp_path: Path, path: str, warned: bool) -> None:
    async def story() -> None:
        async with machine(tmp_path, {"health_endpoint": path}) as made:
            await a_is_live(made)
            maintenance = made.app.maintenance
            await maintenance.begin("soon")
            assert ("because / is its health_endpoint" in "".join(maintenance.warnings)) is warned
            await maintenance.end()
            assert maintenance.warnings == []

    run(story())


def test_the_next_daemon_begins_with_it(tmp_path: Path) -> None:
    store, mode = Database(Faults(), tmp_path / "state.db"), Mode(Faults(), Traffic(Faults()))

    async def story() -> None:
        await Maintenance(store, mode, None, tmp_path).begin("soon")
        assert Maintenance(store, mode, None, tmp_path).order == Order("soon")

    run(story())
    store.close()


def test_page_is_copied_and_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            page = tmp_path / "page.html"
            maintenance = page_of(made, page)
            with pytest.raises(ConfigError, match="cannot use maintenance_page"):
                await maintenance.begin("soon")
            assert (maintenance.notice, made.mode.maintenance) == (None, None)
            page.write_text("<p>soon</p>")
            await maintenance.begin("soon")
            page.unlink()
            order = maintenance.order
            assert order
            assert (Path(order.page).read_text(), order.kind) == ("<p>soon</p>", "text/html; charset=utf-8")

    run(story())


def test_what_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with machine(tmp_path) as made:
            for message in ("x" * 4001, "a\0b"):
                with pytest.raises(BadRequest):
                    await made.app.maintenance.begin(message)

            async def refuse(_: Order | None) -> None:
                raise Impossible("no maintenance: with --no-proxy the app itself answers on its port")

            made.mode.maintain = refuse  # type: ignore[method-assign, assignment]
            with pytest.raises(Impossible, match="--no-proxy"):
                await made.app.maintenance.begin("soon")
            assert made.app.maintenance.notice is None

    run(story())
