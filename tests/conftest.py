from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.orchestrator import Orchestrator, find

from tests.world import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    binary = find()
    assert binary is not None, "slot-machine is not installed beside this Python"
    site = Site(Orchestrator(binary), tmp_path)
    yield site
    site.close()
