"""One swarm for all tests of this folder: `make test-swarm` runs them apart from this machine's network."""

import os
from collections.abc import Iterator

import pytest

from tests.swarm import apart
from tests.swarm.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    if apart.MARK not in os.environ:
        pytest.skip(apart.obstacle() or "runs in namespaces of its own: `make test-swarm`, as root")
    with Lab() as lab:
        yield lab
