"""The daemon's side of the handover: the kernel gives new connections to the next version, where that is possible."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slot_machine.core.errors import KeeperGone, Unsteerable
from slot_machine.core.upstream import Beside, Upstream
from slot_machine.handover.remote import Remote, wrapped
from slot_machine.handover.wire import Drained, Forget, Inspect, Listens, Op, Promote, Relay, Reply
from slot_machine.host.network.control_socket import listening
from slot_machine.host.process import containment, environment, proc, python
from slot_machine.host.process.session import Session
from slot_machine.host.user import rights

log = logging.getLogger(__name__)

STOP_GRACE_S = 2.0
SOCKET_NAME = "handover.sock"

KEEPER_ENDED = "the process that handed the port over has ended; it works again after the next deploy"
NOT_SEEN = "the live version does not listen on its port itself, or was started when there was no handover"
NOTHING_RUNS = "the live version does not run"


class Handover:
    """Implements Traffic for an app that owns its port. Without a keeper, no call has an effect.

    `reason` says why the next deploy must stop the old version first. It is empty if that is not necessary.
    """

    def __init__(self, data: Path, app: str) -> None:
        self._app = app
        self.reason = ""
        self._data = data
        self._path = data / SOCKET_NAME
        self._remote: Remote | None = None
        self._session: Session | None = None
        self._beside = 0
        self._routed = False
        self._stopping = False

    async def start(self) -> None:
        """Connects to the keeper that an earlier daemon left, or starts one."""
        try:
            self._remote = await self._left() or await self._launch()
        except (Unsteerable, KeeperGone, OSError) as obstacle:
            self.reason = obstacle.reason if isinstance(obstacle, Unsteerable) else str(obstacle)
            log.warning("no handover of the port: %s; a deploy stops the old version first", self.reason)
            if self._session:
                await self._session.stop(STOP_GRACE_S)

    async def keep(self) -> None:
        """Starts another keeper when one ends. Runs until no keeper can be started, or until it is cancelled."""
        while remote := self._remote:
            await remote.disconnected()
            if self._stopping:
                return
            self._remote = None
            if self._session:
                await self._session.kill()
            if self._stopping:
                return
            log.error("the keeper of the handover ended; starting another")
            if self._routed:
                self.reason = KEEPER_ENDED
            await self.start()

    async def reason_to_stop_first(self) -> str:
        """Why no version can start beside the live one now; empty if one can."""
        known = None if self.reason else await self._ask(Inspect())
        return "" if known and known.live else str(Unsteerable(self.reason or NOTHING_RUNS))

    def launch(
        self, argv: list[str], run_id: int, ports: set[int], *, cwd: Path, env: Mapping[str, str], output: int
    ) -> Session:
        """Starts `argv` so that its port can be handed over later. Raises OSError."""
        whose = containment.owner(self._data)
        user = rights.other()
        if not self._remote or not user:
            argv = wrapped(self._path, argv, run_id, ports) if self._remote else argv
            return Session.start(argv, cwd=cwd, env=env, output=output, owner=whose)
        with _in_memory(env) as fd:
            become = f"{user.uid}:{user.gid}:{','.join(map(str, user.groups))}:{fd}"
            return Session.start(
                wrapped(self._path, argv, run_id, ports, become),
                cwd=cwd,
                env=environment.inherited(),
                output=output,
                owner=whose,
                pass_fds=(fd,),
                as_daemon=True,
            )

    async def listens(self, run_id: int) -> None:
        """Waits until the run listens wherever the live one does. Raises Unsteerable if it can't, KeeperGone."""
        self._beside = run_id
        await self._connected().call(Listens(run_id))

    async def explain_failure(self, run_id: int) -> None:
        """For a run that failed and has ended: raises Unsteerable if it failed because the live one has its port."""
        try:
            await self._ask(Inspect(run_id))
        finally:
            await self._ask(Forget(run_id))

    async def route(self, upstream: Upstream | None, _: Upstream | None = None) -> None:
        """Raises Unsteerable, KeeperGone if a candidate can't take over; then visitors still reach the live version."""
        run_id = upstream.run_id if upstream else None
        try:
            live = (await self._connected().call(Promote(run_id))).live
        except (KeeperGone, Unsteerable) as obstacle:
            if run_id is not None and run_id == self._beside:
                raise
            if self._remote:
                log.error("cannot tell the keeper of the handover what is live: %s", obstacle)
            self._routed = upstream is not None
            return
        self._beside = 0
        self._routed = upstream is not None
        if upstream:
            self.reason = "" if live else NOT_SEEN

    async def offer(self, _: Beside | None) -> None:
        """Does nothing: all versions have the same port, so nothing tells whose a request is."""

    async def hold(self, _: float) -> None:
        """Nobody holds requests here: the old version has its port to itself until it stops."""
        await self.route(None)

    async def drained(self, upstream: Upstream) -> None:
        await self._tell(Drained(upstream.run_id))
        await self.unwind(upstream)

    async def unwind(self, upstream: Upstream, _: float = 0) -> None:
        await self._tell(Relay(upstream.run_id))

    async def forget(self, upstream: Upstream) -> None:
        await self._tell(Forget(upstream.run_id))

    async def stop(self) -> None:
        await self.let_go()
        if self._session:
            await self._session.stop(STOP_GRACE_S)
        self._path.unlink(missing_ok=True)

    async def let_go(self) -> None:
        """Disconnects, and leaves the keeper running for the next daemon."""
        self._stopping = True
        if self._remote:
            await self._remote.disconnect()

    def _connected(self) -> Remote:
        if not self._remote:
            raise KeeperGone("there is no keeper of the handover")
        return self._remote

    async def _ask(self, op: Op) -> Reply | None:
        """Returns None if there is no keeper."""
        try:
            return await self._connected().call(op)
        except KeeperGone:
            return None

    async def _tell(self, order: Op) -> None:
        """For orders about a version that was replaced already. A refusal is logged: no deploy fails over it."""
        try:
            await self._ask(order)
        except Unsteerable as refusal:
            log.error("the keeper of the handover refused: %s", refusal.reason)

    async def _left(self) -> Remote | None:
        """Connects to the keeper of an earlier daemon. None if there is none.

        A keeper that does not answer is ended, and None is returned. One without an app may be exiting just now.
        """
        try:
            remote, pid = await self._introduced()
            self._session = Session.adopt(proc.identify(pid, containment.mark_of(pid)), contained=False)
        except (KeeperGone, ProcessLookupError):
            await end_keeper(self._data)
            return None
        return remote

    async def _launch(self) -> Remote:
        with listening(self._path) as control:
            self._session = Session.start(
                python.module("slot_machine.handover", str(control.fileno()), self._app),
                cwd=python.FOLDER,
                env=environment.inherited(),
                output=sys.stderr.fileno(),
                pass_fds=(control.fileno(),),
                owner=handover_owner(self._data),
                contained=False,
                as_daemon=True,
            )
        return (await self._introduced())[0]

    async def _introduced(self) -> tuple[Remote, int]:
        """Returns the keeper's process id, too. Raises KeeperGone, Unsteerable."""
        remote = await Remote.connect(self._path)
        try:
            return remote, (await remote.call(Inspect())).pid
        except BaseException:
            await remote.disconnect()
            raise


@contextmanager
def _in_memory(env: Mapping[str, str]) -> Iterator[int]:
    """Writes the variables to a file without a name. Only a process that gets the descriptor can read it."""
    fd = os.memfd_create("environment")
    try:
        os.pwrite(fd, b"".join(os.fsencode(f"{name}={value}") + b"\0" for name, value in env.items()), 0)
        yield fd
    finally:
        os.close(fd)


async def end_keeper(data: Path) -> None:
    """Ends the keeper of an earlier daemon, if its socket is there."""
    path = data / SOCKET_NAME
    if path.exists():
        await containment.end_unknown(handover_owner(data), set())
        path.unlink(missing_ok=True)


def handover_owner(data: Path) -> str:
    """The owner in the keeper's mark. It is not the daemon's, so no daemon ends the keeper with its other processes."""
    return f"handover-{containment.owner(data)}"
