"""The daemon: wires the parts, and lives as `run` reads: lock, clean up, bind, recover, serve, then stop or let go."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from slot_machine import __version__
from slot_machine.app.custody import Custody
from slot_machine.app.deployer import Deployer
from slot_machine.app.release import Launcher
from slot_machine.app.slots import Slots
from slot_machine.app.supervisor import Supervisor, log_failure
from slot_machine.core.config import Config
from slot_machine.core.errors import Busy, ConfigError, GitFailed, Reloading, StartRefused
from slot_machine.core.upstream import INTERNAL, PUBLIC
from slot_machine.daemon import datafolder, metrics, reload, status
from slot_machine.daemon.admission import Admission
from slot_machine.daemon.api import Api
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.lock import locked
from slot_machine.host.git.worktrees import Worktrees
from slot_machine.host.network import api_socket, ports
from slot_machine.host.process import containment, session
from slot_machine.host.process.session import Session
from slot_machine.host.user import rights, token
from slot_machine.proxy.wire import Limits, Settings
from slot_machine.state.rebuild import rebuild
from slot_machine.state.soundness import open_sound
from slot_machine.state.store import Store
from slot_machine.traffic import dataplane
from slot_machine.traffic.dataplane import DataPlane, Left
from slot_machine.traffic.handover import Handover, end_keeper
from slot_machine.traffic.protocol import Traffic

log = logging.getLogger(__name__)

REAP_INTERVAL_S = 2.0
SIGNAL_DELAY_S = 0.01

REPLACE = "strategy: replace"


class Options(NamedTuple):
    """What `start` was told. `folder` is where the configuration stands; `env_file` is relative to it."""

    config: Config
    folder: Path
    repo: Path
    data: Path
    proxy: bool
    rebuild_state: bool

    @property
    def fixed(self) -> dict[str, object]:
        """What a reload can't change."""
        config = self.config
        return {
            "port": config.port,
            "internal_port": config.internal_port,
            "api_port": config.api_port,
            "repo": str(self.repo),
            "data": str(self.data),
            "user": config.user_name,
            "group": config.group_name,
        }


class Ending:
    """What ends the daemon's life: SIGTERM or SIGINT; or a reload, which SIGHUP asks for, ends this image of it."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.asked_to_reload = asyncio.Event()
        self.reloads = False
        self.hands: frozenset[str] = frozenset()
        self._terminated = False
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._terminate)
        loop.add_signal_handler(signal.SIGHUP, self.asked_to_reload.set)
        # Those that came between two images of this process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, reload.SIGNALS)

    def reload(self, hands: frozenset[str]) -> None:
        """`hands`: the fields of `reload.Handed` that the next image takes."""
        self.reloads = True
        self.hands = hands
        self.came.set()

    async def hand_over(self) -> None:
        """Leaves signals, those that came already included, to the next image."""
        signal.pthread_sigmask(signal.SIG_BLOCK, reload.SIGNALS)
        # The loop calls the handler of a signal that came just before two turns later.
        await asyncio.sleep(SIGNAL_DELAY_S)
        if self._terminated:
            signal.raise_signal(signal.SIGTERM)

    def _terminate(self) -> None:
        self._terminated = True
        self.came.set()


class Ground(NamedTuple):
    """What the daemon stands on. `reloads`: how often this process began anew."""

    store: Store
    worktrees: Worktrees
    api_sockets: Sequence[socket.socket]
    listeners: Mapping[str, socket.socket]
    left: list[Left]
    reloads: int


async def run(options: Options) -> reload.Handed | None:
    """Returns after SIGTERM or SIGINT, with nothing left running; or after a reload, with all of it running.

    Then the process is to go on with `reload.again`. Raises StartRefused.
    """
    before = reload.Handed.inherited()
    ending = Ending()
    rights.begin(rights.find(options.config.user_name, options.config.group_name))
    datafolder.claim(options.data, options.repo)
    with ExitStack() as stack:
        lock = stack.enter_context(locked(options.data, options.config.api_port, before.lock_fd if before else -1))
        datafolder.settle(options.data, options.repo)
        if not before and os.geteuid() == 0 and not options.config.user_name:
            log.warning("setup, app and git run as root, as `user` names nobody else: see docs/security.md")
        worktrees = await _worktrees(options)
        if options.rebuild_state and not before:
            await rebuild(options.data / "state.db", worktrees)
        store = open_sound(options.data / "state.db")
        stack.callback(store.close)
        store.take_room()
        token.ensure(options.data)
        await worktrees.adopt_slots()
        left = dataplane.left_running(options.data)
        if not options.proxy:
            await _end_workers(left)
        await _end_leftovers(store, options, left)
        store.interrupt_unfinished()
        api_sockets = [stack.enter_context(listener) for listener in _api_sockets(options, before)]
        bound = before.listeners() if before else _listeners(options, left)
        listeners = {name: stack.enter_context(socket) for name, socket in bound.items()}
        reloads = before.reloads if before else 0
        await _serve(options, Ground(store, worktrees, api_sockets, listeners, left, reloads), ending)
        if "unix_fd" not in ending.hands:
            (options.data / api_socket.NAME).unlink(missing_ok=True)
            del api_sockets[1:]
        lock_fd = os.dup(lock) if "lock_fd" in ending.hands else -1
        api_fds = [os.dup(listener.fileno()) for listener in api_sockets if ending.reloads]
        handed_fds = {name: os.dup(listener.fileno()) for name, listener in listeners.items() if ending.reloads}
    if ending.reloads:
        await ending.hand_over()
        unix_fd = api_fds[-1] if api_fds[1:] else -1
        return reload.Handed(api_fds[0], handed_fds, reloads + 1, lock_fd, unix_fd)
    log.info("stopped")
    return None


async def _serve(options: Options, ground: Ground, ending: Ending) -> None:
    config, store = options.config, ground.store
    plane = handover = None
    traffic: Traffic
    containment.adopt_orphans()
    if options.proxy:
        traffic = plane = DataPlane(options.data, ground.listeners, _plane_settings(options), _workers(config))
        await plane.start(ground.left, renew=ground.reloads > 0)
    else:
        traffic = handover = Handover(options.data)
        await handover.start()
    async with asyncio.TaskGroup() as tasks:
        keeping = [tasks.create_task(traffic.keep()), tasks.create_task(_keep_orphans())]
        launcher = Launcher(config, options.folder, options.data, store, handover)
        keeping += [tasks.create_task(launcher.logs.keep_small()), tasks.create_task(store.reserve.keep())]
        supervisor = Supervisor(config, launcher, traffic, tasks)

        async def alone() -> str:
            return await handover.alone() if handover else REPLACE if config.strategy == "replace" else ""

        worktrees = ground.worktrees
        slots = Slots(config, worktrees, store, launcher, Custody(worktrees, store))
        deployer = Deployer(config, worktrees, slots, store, launcher, traffic, supervisor, tasks, alone=alone)
        mode = "proxy" if options.proxy else "no-proxy"

        async def reload_now() -> None:
            deployer.check_free()
            hands = await reload.check(options.fixed)
            await _check_ground(options)
            # Again, as one may have begun meanwhile; from here to the refusal nothing is awaited.
            deployer.check_free()
            deployer.refuse_more(Reloading)
            ending.reload(hands)

        api = Api(
            deployer,
            lambda: status.gather(deployer, supervisor, handover, config.port, ground.reloads),
            lambda: metrics.render(supervisor, plane),
            reload_now,
            Guard(options.data, authenticates=config.api_auth),
        )
        runner = web.AppRunner(api.application(), access_log=None, handle_signals=False, shutdown_timeout=1)

        end = tasks.create_task(ending.came.wait())
        await asyncio.wait([deployer.recover(), end], return_when=asyncio.FIRST_COMPLETED)
        if not ending.came.is_set():
            await runner.setup()
            for listener in ground.api_sockets:
                await Admission(runner, listener, api).start()
            keeping.append(tasks.create_task(_reload_on_signal(ending, deployer, reload_now)))
            log.info("ready: app on port %d (%s), API on 127.0.0.1:%d", config.port, mode, config.api_port)
        await end

        if ending.reloads:
            log.info("reloading")
            await runner.cleanup()
            await deployer.let_go()
            if handover:
                await handover.let_go()
        else:
            log.info("stopping")
            if plane:
                await plane.close_listeners()
            await deployer.stop()
            await runner.cleanup()
            if plane:
                await plane.stop()
            if handover:
                await handover.stop()
        for task in keeping:
            task.cancel()


async def _check_ground(options: Options) -> None:
    """Whether the next image would find what it stands on. Raises ConfigError."""
    try:
        rights.find(options.config.user_name, options.config.group_name)
        datafolder.check_place(options.data, options.repo)
        await _worktrees(options)
        open_sound(options.data / "state.db").close()
    except StartRefused as error:
        raise ConfigError(f"nothing was reloaded: {error}", error.hint) from None


async def _reload_on_signal(ending: Ending, deployer: Deployer, reload_now: Callable[[], Awaitable[None]]) -> None:
    """Once the deploy that runs has ended. Runs until cancelled."""
    while True:
        await ending.asked_to_reload.wait()
        ending.asked_to_reload.clear()
        await deployer.idle()
        try:
            await reload_now()
        except Busy:
            ending.asked_to_reload.set()
        except Exception as error:  # noqa: BLE001 - the daemon lives
            log_failure("cannot reload", error)


async def _keep_orphans() -> None:
    """Runs until cancelled."""
    undertaker = containment.Undertaker()
    while True:
        await asyncio.sleep(REAP_INTERVAL_S)
        try:
            undertaker.reap(session.leaders())
        except OSError as error:
            log.error("cannot look for children that have ended: %s", error)


async def _end_workers(left: list[Left]) -> None:
    """Of a daemon that had the proxy: this one has none."""
    for found in left:
        for listener in found.introduction.listeners.values():
            listener.close()
        await found.session.kill()
        found.path.unlink(missing_ok=True)


async def _end_leftovers(store: Store, options: Options, left: list[Left]) -> None:
    """What a daemon that was killed left running and nobody takes over.

    The deployer sees to its apps, but for those that own the port which is the proxy's now.
    """
    port, data = options.config.port, options.data
    written_down = store.processes()
    known = {identity.mark for identity, _, _ in written_down} | {found.session.identity.mark for found in left}
    for pid in await containment.end_unknown(containment.owner(data), known):
        log.warning("killed process %d, left over from a daemon that was killed", pid)
    for identity, role, running in written_down:
        if running is None or (options.proxy and running.port == port):
            session = Session.adopt(identity)
            if session.members():
                log.warning("ending process %d (%s), left over from a daemon that was killed", identity.pid, role)
            await session.stop(options.config.drain_timeout_s if running else 0)
            store.remove_process(identity)
    if options.proxy:
        await end_keeper(data)


def _api_sockets(options: Options, before: reload.Handed | None) -> list[socket.socket]:
    """The one on loopback, and that in the data folder where it can be made."""
    tcp = before.api_socket() if before else ports.bind_loopback(options.config.api_port)
    unix = api_socket.taken_over(options.data, before.unix_socket() if before else None)
    return [tcp, unix] if unix else [tcp]


async def _worktrees(options: Options) -> Worktrees:
    worktrees = Worktrees(options.repo, options.data)
    try:
        await worktrees.check_repository()
        await worktrees.check_writable()
    except GitFailed as error:
        hint = error.hint or "start in the app's repository, or name it with --repo"
        raise StartRefused(f"cannot use {options.repo} as the app's repository: {error}", hint) from None
    return worktrees


def _listeners(options: Options, left: list[Left]) -> dict[str, socket.socket]:
    """Those of the workers that are left, so that nothing that waits on them is lost; else new ones."""
    if not options.proxy:
        return {}
    config = options.config
    wanted = {PUBLIC: config.port}
    if config.internal_port != config.port:
        wanted[INTERNAL] = config.internal_port
    for found in left:
        listeners = found.introduction.listeners
        if {name: listener.getsockname()[1] for name, listener in listeners.items()} == wanted:
            # Not by socket.dup(), which makes the socket block, for the workers as well.
            return {name: socket.socket(fileno=os.dup(listener.fileno())) for name, listener in listeners.items()}
    return {
        name: ports.bind_public(port) if name == PUBLIC else ports.bind_loopback(port) for name, port in wanted.items()
    }


def _plane_settings(options: Options) -> Settings:
    config = options.config
    # Long enough for the old version to drain, the new one to fail, and the old one to come back.
    hold_s = config.drain_timeout_s + 2 * config.health_timeout_s + 5
    access_log = Path(os.path.abspath(options.folder / config.access_log)) if config.access_log else None
    return Settings(
        version=__version__,
        limits=Limits(response_s=config.response_timeout_ms / 1000, hold_s=hold_s),
        trusted_proxies=config.trusted_proxies,
        access_log=str(access_log) if access_log else "",
        access_log_mode=0o600 if access_log and access_log.is_relative_to(options.data) else 0o640,
    )


def _workers(config: Config) -> int:
    return len(os.sched_getaffinity(0)) if config.proxy_workers == "auto" else config.proxy_workers
