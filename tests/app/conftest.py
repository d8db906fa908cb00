import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet() -> Iterator[None]:
    """To write down what thousands of faults have to say takes longer than all else."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
