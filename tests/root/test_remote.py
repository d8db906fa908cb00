"""Root connects to a server, and the repository there is another user's."""

import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import sshd as servers
from tests.another_user import AnothersSite
from tests.repository import Repository
from tests.sshd import Sshd
from tests.users import NAMED, needs_root, public_folder
from tests.world import APP

pytestmark = [needs_root, pytest.mark.skipif(bool(servers.obstacle()), reason=servers.obstacle())]


@pytest.fixture
def site() -> Iterator[AnothersSite]:
    with public_folder() as folder:
        site = AnothersSite(folder, NAMED, pwd.getpwnam(NAMED).pw_uid)
        yield site
        site.close()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with servers.running(tmp_path) as sshd:
        yield sshd


def test_push_leaves_no_file_of_root_in_the_repository(
    site: AnothersSite, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    site.commit("one")
    site.start()
    laptop = Repository(tmp_path_factory.mktemp("laptop"))
    laptop.commit({"app.py": APP.read_text(), "behaviour.json": '{"version": "two"}'})

    done = sshd.run("--host", "root@server", "-a", str(site.data), "deploy", cwd=laptop.path)
    assert done.returncode == 0, done.stderr
    assert site.serving() == "two"
    assert [path for path in (site.repo / ".git").rglob("*") if path.lstat().st_uid != site.uid] == []
