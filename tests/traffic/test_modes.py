"""What each traffic mode decides about a start of the app."""

import asyncio
import socket
from pathlib import Path

import pytest
from spec.ports import free_port

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import KeeperGone, StageFailed
from slot_machine.core.model import Version
from slot_machine.core.version_config import VersionConfig
from slot_machine.traffic.mode import Mode
from slot_machine.traffic.modes import NoProxy, Proxy, mode_of

APP = VersionConfig(start_command="app")
VERSION = Version("a", "c" * 40, 1, APP)


def mode(data: Path, daemon: DaemonConfig, *, proxy: bool) -> Mode:
    return mode_of(daemon, data, data, proxy=proxy)


def test_strategy_decides_whether_the_old_version_stops_first(tmp_path: Path) -> None:
    behind = mode(tmp_path, DaemonConfig(), proxy=True)
    replaces = Version("a", "c" * 40, 1, VersionConfig(start_command="app", strategy="replace"))

    assert isinstance(behind, Proxy)
    assert asyncio.run(behind.reason_to_stop_first(VERSION)) == ""
    assert asyncio.run(behind.reason_to_stop_first(replaces)) == "strategy: replace"


def test_start_behind_the_proxy_gets_ports_of_its_own(tmp_path: Path) -> None:
    config = DaemonConfig(port=free_port(), internal_port=free_port())
    behind = mode(tmp_path, config, proxy=True)
    first, second = behind.start(1), behind.start_beside(2)

    assert len({config.port, config.internal_port, first.port, first.internal_port, second.port}) == 5
    assert first.required_port == first.port
    assert second.tos == 0
    assert behind.can_adopt(first.port, first.internal_port)
    assert not behind.can_adopt(config.port, config.internal_port)


def test_app_that_owns_its_port_starts_only_where_that_is_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = mode(tmp_path, DaemonConfig(port=port), proxy=False)

        with pytest.raises(StageFailed, match=f"port {port} is in use"):
            own.start(1)
        beside = own.start_beside(1)

    assert own.start(2).port == port
    assert (beside.port, beside.internal_port, beside.required_port) == (port, port, port)
    assert own.can_adopt(port, port)
    assert not own.can_adopt(port + 1, port + 1)


def test_start_beside_the_live_version_is_told_apart_from_it(tmp_path: Path) -> None:
    own = mode(tmp_path, DaemonConfig(port=free_port()), proxy=False)
    alone, beside = own.start(1), own.start_beside(2)

    assert alone.tos == 0
    assert beside.tos != 0

    async def wait() -> None:
        await alone.reachable()
        with pytest.raises(KeeperGone):
            await beside.reachable()

    asyncio.run(wait())


def test_without_a_keeper_the_old_version_stops_first(tmp_path: Path) -> None:
    own = mode(tmp_path, DaemonConfig(), proxy=False)

    assert isinstance(own, NoProxy)
    assert asyncio.run(own.reason_to_stop_first(VERSION)) == "no handover of the port: the live version does not run"
    assert asyncio.run(own.measure()) is None
