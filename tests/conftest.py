from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import Site, installed


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(installed(), tmp_path)
    yield site
    site.close()
