from collections.abc import Iterator

import pytest

from tests import sshd as servers
from tests.sshd import Sshd
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


@pytest.fixture
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with servers.running(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture
def server(site: Site) -> tuple[str, ...]:
    """The options that name the site's app on the server of `sshd`."""
    return "--host", "server", "-a", str(site.data)
