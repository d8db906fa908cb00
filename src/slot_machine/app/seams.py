"""What deploys and the supervisor need of the machine, as protocols; tests implement them in memory."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from slot_machine.app.another_port import OnTaken
from slot_machine.app.release import Release
from slot_machine.app.run import Run
from slot_machine.core.masking import Masking
from slot_machine.core.model import Version
from slot_machine.core.origin import Description
from slot_machine.core.phases import Phase
from slot_machine.core.side_runs import SideRun
from slot_machine.host.files.capacity import Size
from slot_machine.host.git.worktrees import Clearing, Protected
from slot_machine.host.logs import SlotLog, SlotLogs
from slot_machine.host.network.probe import Answer
from slot_machine.host.process.proc import Identity
from slot_machine.traffic.protocol import Traffic


class Starter(Protocol):
    """Starts versions of the app, as `launcher.Launcher` does."""

    logs: SlotLogs
    masking: Masking
    """Of the values of `env_file`."""

    async def launch(
        self, version: Version, on_started: Callable[[], None] = ..., on_taken: OnTaken = ..., /
    ) -> Release: ...

    async def launch_beside(
        self, version: Version, on_started: Callable[[], None] = ..., on_taken: OnTaken = ..., /
    ) -> Release: ...

    async def restart(self, release: Release, on_taken: OnTaken = ..., /) -> Run: ...

    async def start_side_run(self, release: Release, side: SideRun, /) -> Run: ...

    async def probe(self, release: Release, /) -> Answer: ...

    async def ask(self, release: Release, path: str, limit_s: float, /, *, candidate: bool) -> Answer: ...

    def left_running(self) -> list[Release]: ...

    def left_retiring(self) -> list[Run]: ...

    def can_adopt(self, release: Release, /) -> bool: ...

    def check(self, release: Release, /) -> None: ...

    def open_log(self, version: Version, stage: Phase, /) -> SlotLog: ...

    def env_file_digest(self) -> str: ...

    def dropped_variables(self, version: Version, stage: Phase, /) -> list[str]: ...

    def environment(self, version: Version, stage: Phase, app_ports: dict[str, int], /) -> Mapping[str, str]: ...


class Shell(Protocol):
    """Runs a command to its end, as `host.process.commands.run_shell` does. Returns its exit code."""

    async def __call__(
        self,
        command: str,
        folder: Path,
        env: Mapping[str, str],
        owner: str,
        on_start: Callable[[Identity], None],
        on_output: Callable[[bytes], None],
        /,
    ) -> int: ...


class Facts(Protocol):
    """What of this machine a setup may depend on, as `host.process.runtimes.facts` finds it."""

    async def __call__(
        self, folder: Path, env: Mapping[str, str], owner: str, programs: Sequence[str], /
    ) -> dict[str, str]: ...


class TrafficMode(Protocol):
    """What a deploy needs to know of the traffic mode, as `traffic.mode.Mode` knows it."""

    @property
    def traffic(self) -> Traffic: ...

    @property
    def no_hold(self) -> str: ...

    async def reason_to_stop_first(self, version: Version, /) -> str: ...


class Trees(Protocol):
    """The trees in git, as `host.git.worktrees.Worktrees` keeps them."""

    @property
    def data(self) -> Path: ...

    def path(self, tree: int, /) -> Path: ...

    async def measure(self, tree: int, /) -> Size | None: ...

    async def resolve(self, commitish: str, /) -> str: ...

    async def describe(self, commit: str, /) -> Description: ...

    async def file_at(self, commit: str, path: str, /) -> bytes | None: ...

    async def check_repository(self) -> None: ...

    async def protect(self, role: Protected, commit: str, /) -> None: ...

    async def checkout(self, tree: int, commit: str, clearing: Clearing | None = None, /) -> None: ...

    async def head(self, tree: int, /) -> str: ...

    async def lfs_pointers(self, tree: int, /) -> list[str]: ...

    async def fingerprint(self, tree: int, without: Sequence[str] = (), /) -> str | None: ...

    async def hide(self, tree: int, names: Sequence[str], /) -> None: ...

    async def try_git(self, folder: Path, *args: str) -> tuple[int, str, str]: ...


class Remote(Protocol):
    """The branch that is followed, as `host.git.remote.Remote` fetches it. All calls raise GitFailed."""

    async def tip(self) -> str: ...

    async def contains(self, commit: str, earlier: str, /) -> bool: ...

    async def leave_out(self, commit: str, /) -> None: ...

    async def left_out(self) -> str: ...
