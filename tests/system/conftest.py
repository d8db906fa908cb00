from collections.abc import Iterator

import pytest

from tests.world import Site, installed


@pytest.fixture(scope="session")
def idle_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One daemon for all tests that it refuses everything: two commits, and nothing is live."""
    site = Site(installed(), tmp_path_factory.mktemp("idle"))
    site.commit("one")
    site.commit("two")
    site.start()
    yield site
    site.close()
