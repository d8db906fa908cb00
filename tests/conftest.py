from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.world import Site, installed

# How fast a machine is, is no matter of a test.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(installed(), tmp_path)
    yield site
    site.close()
