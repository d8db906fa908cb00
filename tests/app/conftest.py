import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from slot_machine.app import jobs
from slot_machine.core import verdict
from tests.app.job_stories import HOUR_S
from tests.app.watch_stories import judge
from tests.fakes import Database, Faults
from tests.shop import Shop


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    store = Database(Faults(), tmp_path / "state.db")
    yield store
    store.close()


@pytest.fixture
def quiet() -> Iterator[None]:
    """To write down what thousands of faults have to say takes longer than all else."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    shop = Shop(tmp_path)
    yield shop
    shop.store.close()


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at the clock each second of a day takes seconds."""
    monkeypatch.setattr(jobs, "LOOK_S", HOUR_S)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worse is up to `watch_stories.judge`, which a few numbers satisfy."""
    monkeypatch.setattr(verdict, "judge", judge)
