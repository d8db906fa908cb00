import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import Database, Faults


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
