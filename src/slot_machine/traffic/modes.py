"""The two traffic modes. With Proxy the proxy owns the app's port. With NoProxy the app owns it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from socket import socket

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.errors import Impossible, StageFailed
from slot_machine.core.minutes import Minute
from slot_machine.core.model import Version
from slot_machine.core.phases import Phase
from slot_machine.handover.steering import HEALTH_CHECK_TOS
from slot_machine.host.network import ports
from slot_machine.host.network.listeners import Listeners, Run
from slot_machine.host.process.containment import owner
from slot_machine.host.process.session import Session
from slot_machine.proxy.wire import Maintenance
from slot_machine.traffic import listening
from slot_machine.traffic.access_log import AccessLogRotation
from slot_machine.traffic.dataplane import DataPlane, Measured
from slot_machine.traffic.handover import Handover, end_keeper, handover_owner
from slot_machine.traffic.mode import Mode, Start
from slot_machine.traffic.worker import Left

log = logging.getLogger(__name__)

NO_PROXY = "with --no-proxy the app itself answers on its port"


class Proxy(Mode):
    """Each start gets ports that nobody else has."""

    name = "proxy"
    hands_over = False
    handover_reason = ""

    def __init__(self, config: DaemonConfig, data: Path, plane: DataPlane) -> None:
        super().__init__(config, data, plane)
        self._plane = plane

    def is_in_the_way(self, port: int) -> bool:
        return port == self._config.port

    async def end_other(self, _: Sequence[Left]) -> None:
        await end_keeper(self._data)

    def bind(self, left: Sequence[Left]) -> dict[str, socket]:
        return listening.listeners(self._config, left)

    async def open(self, listeners: Mapping[str, socket], left: Sequence[Left], *, renew: bool) -> None:
        listening.warn_of_address(self._config, listeners)
        await self._plane.start(listeners, left, renew=renew)

    async def close(self) -> None:
        await self._plane.close_listeners()

    async def stop(self) -> None:
        await self._plane.stop()

    async def let_go(self) -> None:
        """Does nothing: the next daemon finds the workers by their sockets."""

    def start_under(self, maintenance: Maintenance | None) -> None:
        self._plane.maintenance = maintenance

    async def maintain(self, maintenance: Maintenance | None) -> None:
        await self._plane.maintain(maintenance)

    async def measure(self) -> Measured:
        return await self._plane.measure()

    async def take_minutes(self, *, current: bool) -> list[Minute]:
        return await self._plane.take_minutes(current=current)

    async def reason_to_stop_first(self, version: Version) -> str:
        """With `replace`, the proxy holds requests while the old version stops and the new one starts."""
        return "strategy: replace" if version.config.strategy == "replace" else ""

    def start(self, run_id: int) -> Start:
        config = self._config
        taken = {config.port, config.internal_port, config.api_port, config.preview_port}
        port = ports.fresh(taken)
        separate = config.internal_port != config.port
        return Start(run_id, port, ports.fresh({port, *taken}) if separate else port, required_port=port)

    def start_beside(self, run_id: int) -> Start:
        return self.start(run_id)

    def spawn(self, _: Start, argv: list[str], *, cwd: Path, env: Mapping[str, str], output: int) -> Session:
        return Session.start(argv, cwd=cwd, env=env, output=output, owner=owner(self._data))

    def listeners(self, run: Run) -> Listeners:
        return Listeners(run)

    def can_adopt(self, port: int, internal_port: int) -> bool:
        return (port, internal_port) != (self._config.port, self._config.internal_port)


class NoProxy(Mode):
    """`--no-proxy`: all versions listen on the app's own port. The handover moves connections between them."""

    name = "no-proxy"
    candidate_tos = HEALTH_CHECK_TOS
    draws_ports = False
    no_hold = NO_PROXY

    def __init__(self, config: DaemonConfig, data: Path, handover: Handover) -> None:
        super().__init__(config, data, handover)
        self._handover = handover
        self._own_sockets: set[int] = set()
        self._siblings = (f"{owner(data)}-", f"{handover_owner(data)}-")

    @property
    def hands_over(self) -> bool:
        return not self._handover.reason

    @property
    def handover_reason(self) -> str:
        return self._handover.reason

    def is_in_the_way(self, _: int) -> bool:
        return False

    async def end_other(self, left: Sequence[Left]) -> None:
        for found in left:
            for listener in found.introduction.listeners.values():
                listener.close()
            await found.session.kill()
            found.path.unlink(missing_ok=True)

    def bind(self, _: Sequence[Left]) -> dict[str, socket]:
        return {}

    async def open(self, *_: object, **__: object) -> None:
        await self._handover.start()

    async def close(self) -> None:
        """Does nothing: the app itself has the port."""

    async def stop(self) -> None:
        await self._handover.stop()

    async def let_go(self) -> None:
        await self._handover.let_go()

    def start_under(self, maintenance: Maintenance | None) -> None:
        if maintenance:
            log.error("no maintenance: %s", NO_PROXY)

    async def maintain(self, _: Maintenance | None) -> None:
        raise Impossible(
            f"no maintenance: {NO_PROXY}", "start the daemon without --no-proxy, or let the app answer 503"
        )

    async def measure(self) -> None:
        return None

    async def take_minutes(self, *, current: bool) -> list[Minute]:  # noqa: ARG002 - nobody counts
        return []

    async def reason_to_stop_first(self, _: Version) -> str:
        return await self._handover.reason_to_stop_first()

    def start(self, run_id: int) -> Start:
        for port in {self._config.port, self._config.internal_port}:
            if not ports.is_free(port):
                by = ports.used_by(port) or "another program"
                raise StageFailed(Phase.START, f"port {port} is in use by {by}, so the app can't have it")
        return self._start(run_id)

    def start_beside(self, run_id: int) -> Start:
        return replace(
            self._start(run_id),
            tos=self.candidate_tos,
            reachable=lambda: self._handover.listens(run_id),
            explain_failure=lambda: self._handover.explain_failure(run_id),
        )

    def _start(self, run_id: int) -> Start:
        port, internal_port = self._config.port, self._config.internal_port
        # Visitors reach the app without us, so it is of use even if it does not listen on `port`.
        return Start(run_id, port, internal_port, required_port=internal_port)

    def spawn(self, start: Start, argv: list[str], *, cwd: Path, env: Mapping[str, str], output: int) -> Session:
        shared = {start.port, start.internal_port}
        return self._handover.launch(argv, start.run_id, shared, cwd=cwd, env=env, output=output)

    def listeners(self, run: Run) -> Listeners:
        """All versions, and the keeper, may have sockets on the same port."""
        return Listeners(run, self._siblings, self._own_sockets)

    def can_adopt(self, port: int, internal_port: int) -> bool:
        return (port, internal_port) == (self._config.port, self._config.internal_port)


def mode_of(config: DaemonConfig, folder: Path, data: Path, *, proxy: bool) -> Mode:
    """`folder` is that of the configuration."""
    if not proxy:
        return NoProxy(config, data, Handover(data, config.name or ""))
    settings = listening.settings(config, folder, data)
    rotation = AccessLogRotation(settings.access_log, config.log_max_mb * 1_000_000, config.log_keep)
    plane = DataPlane(data, settings, listening.workers(config), config.name or "", rotation)
    return Proxy(config, data, plane)
