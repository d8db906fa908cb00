"""Data on its way to `shared`, when the daemon is killed or the disk is full in any step: none is lost."""

import asyncio
import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.host.files.shared import open_databases
from tests.shop import Shop, opened

STEPS = {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "ctypes.dlsym"}
NAMES = ("shared", "app.db", "uploads")

Strike = Callable[[], None]


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def strike_at(number: int, strike: Strike) -> None:
    """From now on, in this process, in the step of that number which concerns shared data."""
    left = [number]

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event not in STEPS:
            return
        if event == "ctypes.dlsym" or any(name in str(arg) for arg in args for name in NAMES):
            left[0] -= 1
            if left[0] == 0:
                strike()

    sys.addaudithook(hook)


@pytest.fixture
def make_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Shop]]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    shops: list[Shop] = []

    def make() -> Shop:
        folder = tmp_path / str(len(shops))
        folder.mkdir()
        shops.append(Shop(folder))
        return shops[-1]

    yield make
    for shop in shops:
        shop.store.close()


def open_shop(make: Callable[[], Shop]) -> Shop:
    """Its live version has uploads, and a database whose latest commits are in the write-ahead log alone."""
    shop = make()
    shop.deploy({"uploads/.gitkeep": ""})
    shop.write("uploads/a", "by the app")
    database, crashed = shop.live("app.db"), shop.live("crashed")
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE notes (text)")
        with db:
            db.execute("INSERT INTO notes VALUES ('by the app')")
        crashed.mkdir()
        copies = [path.rename(crashed / path.name) for path in database.parent.glob("app.db*")]
    for path in copies:
        path.rename(database.with_name(path.name))
    crashed.rmdir()
    assert database.with_name("app.db-wal").stat().st_size
    return shop


def check_whole(folder: Path) -> None:
    assert (folder / "uploads" / "a").read_text() == "by the app"
    with closing(sqlite3.connect(f"file:{folder}/app.db?mode=ro", uri=True)) as db:
        assert db.execute("SELECT text FROM notes").fetchall() == [("by the app",)]


def next_deploy(shop: Shop, *, is_open: bool) -> None:
    """If the database is open, it waits until the live version has stopped."""
    with opened(shop.live("app.db")) if is_open else nullcontext():
        strategy = "replace" if is_open else "overlap"
        version, _ = shop.prepare({}, shared_dirs=["uploads"], shared_files=["app.db"], strategy=strategy)
    asyncio.run(shop.slots.old_stopped(shop.attempt(), version))


def is_closed(shop: Shop) -> bool:
    return not list(open_databases(shop.live()))


@pytest.mark.parametrize(("strike", "is_open"), [(killed, False), (full, False), (killed, True)])
def test_no_data_is_lost_in_any_step(make_shop: Callable[[], Shop], strike: Strike, is_open: bool) -> None:
    ends: list[int] = []
    number = 0
    while not ends or ends[-1]:
        number += 1
        shop = open_shop(make_shop)

        def struck(shop: Shop = shop, number: int = number) -> None:
            strike_at(number, strike)
            next_deploy(shop, is_open=is_open)

        ends.append(shop.in_another_daemon(struck))

        wait_until("nobody has it open", partial(is_closed, shop))
        check_whole(shop.live())
        shop.deploy({}, shared_dirs=["uploads"], shared_files=["app.db"])
        for folder in (shop.live(), shop.shared, shop.data / "previous"):
            check_whole(folder)
        assert not {"uploads/a", "app.db", "app.db-wal"} & set(shop.kept())
        shop.rollback()
        check_whole(shop.live())
    assert len(ends) > 12
    assert set(ends[:-1]) == {-9 if strike is killed else 1}
