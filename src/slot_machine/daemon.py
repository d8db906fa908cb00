"""The daemon: wires the parts, and lives as `run` reads: lock, bind, clean up, recover, serve, drain, stop."""

import asyncio
import logging
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from slot_machine import metrics, status
from slot_machine.api import Api
from slot_machine.core.config import Config
from slot_machine.core.errors import StartRefused
from slot_machine.core.upstream import INTERNAL, PUBLIC
from slot_machine.dataplane import DataPlane
from slot_machine.deployer import Deployer
from slot_machine.host import ports, processes
from slot_machine.host.lock import locked
from slot_machine.host.rebuild import rebuild
from slot_machine.host.soundness import open_sound
from slot_machine.host.store import Store
from slot_machine.host.worktrees import GitFailed, Worktrees
from slot_machine.proxy.wire import Limits, Settings
from slot_machine.release import Launcher
from slot_machine.supervisor import Supervisor
from slot_machine.traffic import Direct

log = logging.getLogger(__name__)


class Options(NamedTuple):
    """What `start` was told. `folder` is where the configuration stands; `env_file` is relative to it."""

    config: Config
    folder: Path
    repo: Path
    data: Path
    proxy: bool
    rebuild_state: bool


async def run(options: Options) -> None:
    """Returns after SIGTERM or SIGINT, with nothing left running. Raises StartRefused."""
    stopped = _on_signals()
    try:
        options.data.mkdir(parents=True, exist_ok=True)
        _ignore(options.data / ".gitignore")
    except OSError as error:
        raise StartRefused(f"cannot use {options.data} as the data folder: {error.strerror}") from None
    with ExitStack() as stack:
        stack.enter_context(locked(options.data / "daemon.lock"))
        worktrees = await _worktrees(options)
        if options.rebuild_state:
            await rebuild(options.data / "state.db", worktrees)
        store = open_sound(options.data / "state.db")
        stack.callback(store.close)
        await _end_leftovers(store)
        store.interrupt_unfinished()
        api_socket = stack.enter_context(ports.bind_loopback(options.config.api_port))
        listeners = {name: stack.enter_context(socket) for name, socket in _bind_public(options).items()}
        await _serve(options, store, worktrees, api_socket, listeners, stopped)
    log.info("stopped")


async def _serve(
    options: Options,
    store: Store,
    worktrees: Worktrees,
    api_socket: socket.socket,
    listeners: dict[str, socket.socket],
    stopped: asyncio.Event,
) -> None:
    config = options.config
    async with asyncio.TaskGroup() as tasks:
        plane = None
        if options.proxy:
            plane = DataPlane(options.data, listeners, store, _plane_settings(options), _workers(config))
            await plane.start()
            tasks.create_task(plane.keep())
        traffic = plane or Direct()
        launcher = Launcher(config, options.folder, options.data, store, fixed_ports=not options.proxy)
        rotation = tasks.create_task(launcher.logs.keep_small())
        supervisor = Supervisor(launcher, traffic, tasks)
        alone = not options.proxy or config.strategy == "replace"
        deployer = Deployer(config, worktrees, store, launcher, traffic, supervisor, tasks, alone=alone)
        mode = "proxy" if options.proxy else "no-proxy"
        api = Api(
            deployer,
            lambda: status.gather(deployer, supervisor, mode, config.port),
            lambda: metrics.render(supervisor, plane),
        )
        runner = web.AppRunner(api.application(), access_log=None, handle_signals=False)

        stopping = tasks.create_task(stopped.wait())
        recovery = deployer.recover()
        if recovery:
            await asyncio.wait([recovery, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not stopped.is_set():
            await runner.setup()
            await web.SockSite(runner, api_socket, shutdown_timeout=1).start()
            log.info("ready: app on port %d (%s), API on 127.0.0.1:%d", config.port, mode, config.api_port)
        await stopping

        log.info("stopping")
        if plane:
            await plane.close_listeners()
        await deployer.stop()
        await runner.cleanup()
        if plane:
            await plane.stop()
        rotation.cancel()


def _ignore(path: Path) -> None:
    """Not written anew each time, so that a full disk is no reason not to start."""
    if not path.exists():
        path.write_text("*\n")


def _on_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    return stopped


async def _end_leftovers(store: Store) -> None:
    """What a daemon that was killed left running would hold the ports, and the slots' files."""
    for identity in store.processes():
        if await processes.kill_leftover(identity):
            log.warning("killed process %d, left over from a daemon that did not stop cleanly", identity.pid)
        store.remove_process(identity)


async def _worktrees(options: Options) -> Worktrees:
    worktrees = Worktrees(options.repo, options.data)
    try:
        await worktrees.check_repository()
    except GitFailed as error:
        hint = error.hint or "start in the app's repository, or name it with --repo"
        raise StartRefused(f"{options.repo} is not a git repository: {error}", hint) from None
    return worktrees


def _bind_public(options: Options) -> dict[str, socket.socket]:
    if not options.proxy:
        return {}
    config = options.config
    listeners = {PUBLIC: ports.bind_public(config.port)}
    if config.internal_port != config.port:
        listeners[INTERNAL] = ports.bind_loopback(config.internal_port)
    return listeners


def _plane_settings(options: Options) -> Settings:
    config = options.config
    # Long enough for the old version to drain, the new one to fail, and the old one to come back.
    hold_s = config.drain_timeout_s + 2 * config.health_timeout_s + 5
    return Settings(
        limits=Limits(response_s=config.response_timeout_ms / 1000, hold_s=hold_s),
        trusted_proxies=config.trusted_proxies,
        access_log=str(options.folder / config.access_log) if config.access_log else "",
    )


def _workers(config: Config) -> int:
    return len(os.sched_getaffinity(0)) if config.proxy_workers == "auto" else config.proxy_workers
