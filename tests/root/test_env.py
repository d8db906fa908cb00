"""`slot-machine env` by root, for an app of another user."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.another_user import AnothersSite
from tests.users import NAMED, needs_root, public_folder

pytestmark = needs_root


@pytest.fixture
def nobodys() -> Iterator[AnothersSite]:
    with public_folder() as folder:
        site = AnothersSite(folder, NAMED, pwd.getpwnam(NAMED).pw_uid)
        site.commit("v1")
        site.start(env_file=".env")
        yield site
        site.close()


def owner_and_mode(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_mode & 0o777


def test_the_owner_stays(nobodys: AnothersSite) -> None:
    path = nobodys.repo / ".env"
    assert nobodys.run("env", "set", "A=1").returncode == 0
    assert owner_and_mode(path) == (nobodys.uid, 0o600)
    os.chown(path, 0, 0)

    assert nobodys.run("env", "set", "B=2").returncode == 0

    assert owner_and_mode(path) == (0, 0o600)
    assert path.read_text() == "A=1\nB=2\n"


def test_root_follows_no_link_of_the_user(nobodys: AnothersSite) -> None:
    roots = nobodys.folder / "roots"
    roots.mkdir(mode=0o700)
    secret = roots / "env"
    secret.write_text("SECRET=root's\n")
    secret.chmod(0o600)
    (nobodys.repo / ".env").symlink_to(secret)

    listed, changed = nobodys.run("env", "list", "--show"), nobodys.run("env", "set", "A=1")

    assert (listed.returncode, changed.returncode) == (1, 1), (listed, changed)
    assert "root's" not in listed.stdout + listed.stderr
    assert secret.read_text() == "SECRET=root's\n"
    assert os.listdir(roots) == ["env"]


def test_configuration_of_a_user_leads_root_nowhere(nobodys: AnothersSite) -> None:
    """No daemon runs, so the file says where the variables are."""
    nobodys.daemons[-1].stop()
    secret = nobodys.folder / "secret"
    secret.write_text("SECRET=root's\n")
    secret.chmod(0o600)
    config = nobodys.repo / "slot-machine.json"
    config.write_text(f'{{"start_command": "x", "env_file": "{secret}"}}')
    os.chown(config, nobodys.uid, nobodys.uid)

    changed, listed = nobodys.run("env", "set", "A=1"), nobodys.run("env", "list", "--show")

    assert (changed.returncode, listed.returncode, listed.stdout) == (1, 1, "")
    assert "Permission denied" in changed.stderr
    assert secret.read_text() == "SECRET=root's\n"

    config.write_text('{"start_command": "x", "env_file": "own"}')
    assert nobodys.run("env", "set", "A=1").returncode == 0
    assert owner_and_mode(nobodys.repo / "own") == (nobodys.uid, 0o600)
