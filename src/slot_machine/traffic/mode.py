"""A traffic mode: which ports a start of the app gets, whether two versions can run at once, what opens and closes."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.minutes import Minute
from slot_machine.core.model import Version
from slot_machine.host.network.listeners import Listeners, Run
from slot_machine.host.process.session import Session
from slot_machine.proxy.wire import Maintenance
from slot_machine.traffic.dataplane import Measured
from slot_machine.traffic.protocol import Traffic
from slot_machine.traffic.worker import Left


async def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Start:
    """One start of a version, as its traffic mode arranges it."""

    run_id: int
    port: int
    internal_port: int
    required_port: int
    """The health check does not count before somebody listens there."""
    tos: int = 0
    """Type of service (ip(7)) of the connections that ask for its health."""
    reachable: Callable[[], Awaitable[None]] = _nothing
    """Waits until a health check reaches this start, not the live version. Raises Unsteerable, KeeperGone."""
    explain_failure: Callable[[], Awaitable[None]] = _nothing
    """For a start that failed and has ended. Raises Unsteerable if it failed because the live version has its port."""


class Mode(ABC):
    """Opens and closes the way from the visitors to the app."""

    name: str
    """`proxy` or `no-proxy`, as `status` says it."""
    candidate_tos = 0
    """Type of service (ip(7)) of connections that reach a candidate, not the live version."""
    draws_ports = True
    """Whether each start of a version gets ports that are drawn at random, so that another start has others."""
    no_hold: str = ""
    """Why no candidate can be held; empty if one can."""

    def __init__(self, config: DaemonConfig, data: Path, traffic: Traffic) -> None:
        self.traffic = traffic
        self._config = config
        self._data = data

    @property
    @abstractmethod
    def hands_over(self) -> bool:
        """Whether the next version can listen on the live version's port while that serves."""

    @property
    @abstractmethod
    def handover_reason(self) -> str:
        """Why it can't; empty with the proxy."""

    @abstractmethod
    def is_in_the_way(self, port: int) -> bool:
        """Whether an app that an earlier daemon left on this port keeps the mode from opening."""

    @abstractmethod
    async def end_other(self, left: Sequence[Left]) -> None:
        """Ends what an earlier daemon left running for the other mode. `left` are the workers that it left."""

    @abstractmethod
    def bind(self, left: Sequence[Left]) -> dict[str, socket]:
        """The public listeners; those of workers in `left` are used again. Raises StartRefused."""

    @abstractmethod
    async def open(self, listeners: Mapping[str, socket], left: Sequence[Left], *, renew: bool) -> None:
        """The parameters are those of `DataPlane.start`. Raises StartRefused."""

    @abstractmethod
    async def close(self) -> None:
        """Accepts no more connections; requests in flight go on."""

    @abstractmethod
    async def stop(self) -> None:
        """Ends the workers, or the keeper."""

    @abstractmethod
    async def let_go(self) -> None:
        """Leaves the workers, or the keeper, to the next daemon."""

    @abstractmethod
    async def measure(self) -> Measured | None:
        """None where nobody counts requests."""

    @abstractmethod
    async def take_minutes(self, *, current: bool) -> list[Minute]:
        """What workers counted in minutes that are over; each is told once. `current`: the current one ends now."""

    @abstractmethod
    def start_under(self, maintenance: Maintenance | None) -> None:
        """Before `open`: the maintenance that an earlier daemon has begun."""

    @abstractmethod
    async def maintain(self, maintenance: Maintenance | None) -> None:
        """Answers in place of the app from now on, or no longer. Raises Impossible."""

    @abstractmethod
    async def reason_to_stop_first(self, version: Version) -> str:
        """Why the live version must stop before `version` starts; empty if it need not."""

    @abstractmethod
    def start(self, run_id: int) -> Start:
        """For a version that starts while no other one runs. Raises StageFailed, OSError."""

    @abstractmethod
    def start_beside(self, run_id: int) -> Start:
        """For a version that starts while the live one serves. Raises OSError."""

    @abstractmethod
    def spawn(self, start: Start, argv: list[str], *, cwd: Path, env: Mapping[str, str], output: int) -> Session:
        """Raises OSError, ValueError."""

    @abstractmethod
    def listeners(self, run: Run) -> Listeners: ...

    @abstractmethod
    def can_adopt(self, port: int, internal_port: int) -> bool:
        """Whether a version that an earlier daemon started on these ports can serve in this mode."""
