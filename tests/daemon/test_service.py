"""What a service manager is told, in the words of sd_notify(3)."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, cast

import pytest

from slot_machine.app.app import App
from slot_machine.core.service_variables import OF_ONE_PROCESS
from slot_machine.daemon import service
from slot_machine.daemon.service import OWN_WAIT_S, Manager, headline, longest_wait_s
from slot_machine.host.process import environment
from tests.service_manager import FakeManager


@pytest.fixture(params=["path", "abstract"])
def fake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeManager]:
    with FakeManager(str(tmp_path / "notify") if request.param == "path" else "") as fake:
        yield fake


def test_reload_is_told_with_its_time_in_one_datagram(fake: FakeManager) -> None:
    before_us = time.monotonic_ns() // 1000
    manager = Manager(fake.address)
    manager.reloading()
    manager.ready()
    fake.words()

    reloading, ready = fake.told
    assert reloading[0] == "RELOADING=1"
    assert before_us <= int(reloading[1].removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert ready == ["READY=1", "STATUS=starting"]


def test_time_is_asked_for_only_while_it_may_take_longer(fake: FakeManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BEAT_S", 0.001)
    manager = Manager(fake.address)
    extension = "EXTEND_TIMEOUT_USEC=60000000"

    async def story() -> None:
        with manager.kept():
            manager.extend(60)
            await until(fake, extension)
            manager.ready()
            fake.forget()
            await asyncio.sleep(0.01)
            assert fake.words() == []
            manager.stopping(60)
            await until(fake, extension)
            manager.extend(0)
            fake.forget()
            await asyncio.sleep(0.01)
            assert fake.words() == []

    asyncio.run(story())


async def until(fake: FakeManager, word: str) -> None:
    async with asyncio.timeout(5):
        while word not in fake.words():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


def test_status_is_told_when_it_changes_and_the_watchdog_all_the_time(fake: FakeManager) -> None:
    manager = Manager(fake.address, watchdog_s=0.002)

    async def story() -> None:
        with manager.kept():
            await until(fake, "STATUS=starting")
            manager.headline = lambda: "one\nREADY=1"
            await until(fake, "STATUS=one READY=1")
            fake.forget()
            await until(fake, "WATCHDOG=1")
            assert set(fake.words()) == {"WATCHDOG=1"}

    asyncio.run(story())


@pytest.mark.parametrize(("pid", "feeds"), [("", True), ("ours", True), ("1", False)])
def test_watchdog_of_another_process_is_not_fed(
    fake: FakeManager, monkeypatch: pytest.MonkeyPatch, pid: str, feeds: bool
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", fake.address)
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)

    Manager.found().extend(1)

    assert ("WATCHDOG=1" in fake.words()) is feeds


def test_manager_that_is_gone_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Manager(str(tmp_path / "gone")).ready()
    assert "cannot tell the service manager READY=1" in caplog.text

    caplog.clear()
    Manager().ready()
    assert caplog.text == ""


def test_variables_of_the_service_stay_with_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_ONE_PROCESS:
        monkeypatch.setenv(name, "x")

    assert not OF_ONE_PROCESS & environment.inherited().keys()
    assert not OF_ONE_PROCESS & environment.of_commands().keys()
    assert os.environ.keys() >= OF_ONE_PROCESS


class Unreadable:
    """An app whose database can't be read."""

    @property
    def deployer(self) -> NoReturn:
        raise sqlite3.OperationalError("disk I/O error")


def test_database_that_cannot_be_read_ends_nothing() -> None:
    app = cast(App, Unreadable())

    assert headline(app) == "cannot read the database: disk I/O error"
    assert longest_wait_s(app) > OWN_WAIT_S
