"""The data plane's processes as the daemon keeps them."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slot_machine.core.upstream import PUBLIC
from slot_machine.host.process.session import Session
from slot_machine.proxy import remote
from slot_machine.proxy.wire import Hold, Maintain, Maintenance, Settings
from slot_machine.traffic import worker
from slot_machine.traffic.dataplane import DataPlane

LIMIT_S = 60


@pytest.fixture
def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataPlane:
    """Not started yet."""
    monkeypatch.setattr(worker, "SHORT_LIFE_S", 0.5)
    return DataPlane(tmp_path, Settings(), 1)


async def runs(plane: DataPlane, really: bool) -> None:
    """Waits until its worker does, or does not."""
    while bool((await plane.measure()).pids) is not really:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)


@asynccontextmanager
async def whose_worker_ended(plane: DataPlane) -> AsyncIterator[None]:
    """Kept to the end of its listeners. Its worker has ended just now, and is not started again yet."""
    await plane.start({PUBLIC: socket.create_server(("127.0.0.1", 0))})
    (pid,) = (await plane.measure()).pids
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - nothing else runs yet
    keeping = asyncio.create_task(plane.keep())
    async with asyncio.timeout(LIMIT_S):
        await runs(plane, False)
        yield
        await plane.close_listeners()
        await plane.stop()
        await keeping


def test_worker_that_ended_just_before_the_daemon_is_not_started_again(plane: DataPlane) -> None:
    """Its listeners are closed by then."""

    async def main() -> None:
        async with whose_worker_ended(plane):
            pass
        assert (await plane.measure()).restarts == 0

    asyncio.run(main())


@pytest.mark.parametrize("error", [OSError("no process"), ValueError("no argument")])
def test_whatever_keeps_a_worker_from_starting_it_is_tried_again(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    errors, start = [error], Session.start

    def fails_once(*args: object, **kwargs: object) -> Session:
        if errors:
            raise errors.pop()
        return start(*args, **kwargs)  # type: ignore[arg-type]

    async def main() -> None:
        async with whose_worker_ended(plane):
            monkeypatch.setattr(Session, "start", fails_once)
            await runs(plane, True)

    asyncio.run(main())
    assert not errors


SOON = Maintenance("soon")


@pytest.mark.parametrize("order", [Hold(9), Maintain(SOON)])
def test_worker_that_begins_while_an_order_is_given_obeys_it(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch, order: Hold | Maintain
) -> None:
    """It has read its settings before that, and can't be reached yet."""
    connect, begun, may_connect = remote.connect, asyncio.Event(), asyncio.Event()

    async def slowly(path: Path) -> remote.Connection:
        begun.set()
        await may_connect.wait()
        return await connect(path)

    async def main() -> Settings:
        async with whose_worker_ended(plane):
            monkeypatch.setattr(remote, "connect", slowly)
            routing = asyncio.create_task(plane.route(None))
            await begun.wait()
            given = plane.hold(order.limit_s) if isinstance(order, Hold) else plane.maintain(order.maintenance)
            giving = asyncio.create_task(given)
            await asyncio.sleep(0)
            may_connect.set()
            await asyncio.gather(routing, giving)
            return settings_of(plane)

    settings = asyncio.run(main())
    assert (settings.holding, settings.maintenance) == ((True, None) if isinstance(order, Hold) else (False, SOON))


def settings_of(plane: DataPlane) -> Settings:
    """Those that its worker has now."""
    found = remote.introduce(plane._socket_path(0))
    assert found
    os.close(found.gauge_fd)
    for listener in found.listeners.values():
        listener.close()
    return found.settings
