"""What a daemon that was killed left behind: what the next one ends, and what it leaves to the deployer."""

import socket
from pathlib import Path

import pytest

from slot_machine.app import leftovers
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.model import WEB, Running, Version
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.process import containment
from slot_machine.host.process.proc import Identity
from slot_machine.host.process.session import Session
from slot_machine.traffic import modes
from tests.fakes import COMMITS, Database, run

APP = VersionConfig(start_command="app", drain_timeout_ms=7000)
A, B = Version("a", COMMITS["a"], 1, APP), Version("b", COMMITS["b"], 2, APP)


class Ended:
    """Notes what is ended in place of ending it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.within_s: dict[int, float] = {}
        self.killed: list[int] = []
        self.known: set[str] = set()
        self.keepers = 0
        monkeypatch.setattr(Session, "adopt", lambda identity: Fake(identity, self))
        monkeypatch.setattr(containment, "end_unknown", self._end_unknown)
        monkeypatch.setattr(modes, "end_keeper", self._end_keeper)

    async def _end_unknown(self, _: str, known: set[str]) -> list[int]:
        self.known = known
        return [99]

    async def _end_keeper(self, _: Path) -> None:
        self.keepers += 1


class Fake:
    def __init__(self, identity: Identity, ended: Ended) -> None:
        self.identity = identity
        self._ended = ended

    def members(self) -> list[int]:
        return [self.identity.pid]

    async def stop(self, within_s: float) -> bool:
        self._ended.within_s[self.identity.pid] = within_s
        return False

    async def kill(self) -> None:
        self._ended.killed.append(self.identity.pid)


class Introduction:
    def __init__(self) -> None:
        self.listeners = {"public": socket.create_server(("127.0.0.1", 0))}


class Worker:
    """Of the data plane, as an earlier daemon left it."""

    def __init__(self, pid: int, path: Path, ended: Ended) -> None:
        self.session = Fake(Identity(pid, 1, "boot"), ended)
        self.path = path
        self.introduction = Introduction()
        path.touch()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Ended:
    return Ended(monkeypatch)


@pytest.fixture
def written_down(store: Database) -> Database:
    store.save_process(Identity(1, 1, "boot"), "setup")
    store.save_process(Identity(2, 1, "boot"), "app", 1, WEB, Running(A, 1, 8080, 0))
    store.save_process(Identity(3, 1, "boot"), "app", 2, WEB, Running(B, 2, 20_000, 20_001))
    return store


def end(store: Database, data: Path, left: list[Worker], *, proxy: bool) -> None:
    mode = modes.mode_of(DaemonConfig(port=8080), data, data, proxy=proxy)
    run(leftovers.end(store, data, left, mode))  # type: ignore[arg-type]


@pytest.mark.parametrize(("proxy", "ends"), [(True, {1: 0, 2: 7}), (False, {1: 0})])
def test_setups_are_ended_and_of_releases_those_that_have_the_port_of_the_proxy(
    written_down: Database, ended: Ended, tmp_path: Path, proxy: bool, ends: dict[int, float]
) -> None:
    end(written_down, tmp_path, [], proxy=proxy)

    assert ended.within_s == ends
    assert {recorded.identity.pid for recorded in written_down.processes()} == {1, 2, 3} - set(ends)
    assert ended.keepers == proxy


def test_processes_without_a_row_are_ended_unless_a_worker_is_known_by_its_mark(
    written_down: Database, ended: Ended, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(4, tmp_path / "proxy-1.sock", ended)
    end(written_down, tmp_path, [worker], proxy=True)
    worker.introduction.listeners["public"].close()

    assert ended.known == {Identity(pid, 1, "boot").mark for pid in (1, 2, 3, 4)}
    assert "killed process 99" in caplog.text
    assert ended.killed == []
    assert worker.path.exists()


def test_workers_are_ended_where_there_is_no_proxy_any_more(store: Database, ended: Ended, tmp_path: Path) -> None:
    worker = Worker(4, tmp_path / "proxy-1.sock", ended)
    listener = worker.introduction.listeners["public"]
    end(store, tmp_path, [worker], proxy=False)

    assert ended.killed == [4]
    assert listener.fileno() == -1
    assert not worker.path.exists()
