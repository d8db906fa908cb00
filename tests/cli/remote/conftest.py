from pathlib import Path

import pytest

from slot_machine.core.defaults import APP_VARIABLE, HOST_VARIABLE
from tests.repository import Repository
from tests.servers import Servers


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """There are none yet. The current folder is empty."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(APP_VARIABLE, "")
    monkeypatch.setenv(HOST_VARIABLE, "")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return Servers(tmp_path / "servers", monkeypatch)


@pytest.fixture
def repository(tmp_path: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """With one commit, and three servers that lack it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    repository = Repository(tmp_path)
    repository.commit({"app": "one"})
    monkeypatch.chdir(repository.path)
    for host in ("x", "y", "z"):
        servers.add_app(host)
    return repository
