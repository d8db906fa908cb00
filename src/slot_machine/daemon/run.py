"""The daemon's life: take the lock, open the app, bind, recover, serve; then stop the app or leave it running."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from slot_machine.app import opening
from slot_machine.app.app import App
from slot_machine.app.opening import Found, Options
from slot_machine.core.defaults import KEEPS_ENVIRONMENT
from slot_machine.daemon import (
    candidates,
    datafolder,
    edge_link,
    env_file,
    maintenance,
    metrics,
    notify,
    one_offs,
    publication,
    push,
    reload,
    stats,
    status,
    top,
    webhook,
)
from slot_machine.daemon.api import Api
from slot_machine.daemon.ending import Ending, reload_on_signal, renew, try_to_reload
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.lock import locked
from slot_machine.daemon.replies import viewed
from slot_machine.daemon.server import Server
from slot_machine.daemon.service import Manager, headline, longest_wait_s
from slot_machine.daemon.webhook import Webhook
from slot_machine.host import registry
from slot_machine.host.network import api_socket, ports
from slot_machine.host.process import containment
from slot_machine.host.registry import Entry
from slot_machine.host.user import rights, token

log = logging.getLogger(__name__)


async def run(options: Options) -> reload.Handed | None:
    """Returns None after SIGTERM or SIGINT, when nothing of the app runs any more. Raises StartRefused.

    For a reload it returns what `reload.again` needs, and the app runs on.
    """
    before = reload.Handed.inherited()
    manager = Manager.found()
    if before:
        # At once: systemd before 250 does not restart a service that dies in a reload.
        manager.ready()
    ending = Ending()
    rights.begin(rights.find(options.config.daemon.user_name, options.config.daemon.group_name))
    datafolder.claim(options.data, options.repo)
    with ExitStack() as stack:
        stack.enter_context(manager.kept())
        lock = stack.enter_context(
            locked(options.data, options.config.daemon.api_port, before.lock_fd if before else -1)
        )
        datafolder.settle(options.data, options.repo)
        if not before and os.geteuid() == 0 and not options.config.daemon.user_name:
            log.warning("setup, app and git run as root, as `user` names nobody else: see docs/security.md")
        found = await opening.opened(options, stack, rebuild_state=options.rebuild_state and not before)
        token.ensure(options.data)
        api_sockets = [stack.enter_context(listener) for listener in _api_sockets(options, before)]
        listeners = before.listeners() if before else found.mode.bind(found.left)
        for listener in listeners.values():
            stack.enter_context(listener)
        reloads = before.reloads if before else 0
        hook = webhook.opened(options, before.webhook_socket() if before else None, reloads=bool(before))
        if hook and hook.listener:
            stack.enter_context(hook.listener)
        await _serve(options, found, listeners, api_sockets, hook, reloads, ending, manager)
        if "unix_fd" not in ending.hands:
            (options.data / api_socket.NAME).unlink(missing_ok=True)
        handed = _handed(lock, api_sockets, listeners, hook, reloads, ending.hands) if ending.reloads else None
    if handed:
        await ending.hand_over()
    else:
        log.info("stopped")
    return handed


def _handed(
    lock: int,
    api_sockets: Sequence[socket.socket],
    listeners: Mapping[str, socket.socket],
    hook: Webhook | None,
    reloads: int,
    hands: frozenset[str],
) -> reload.Handed:
    """Duplicates, which stay open when this image closes its own. `hands`: the fields that the next image takes."""
    tcp, *unix = (os.dup(listener.fileno()) for listener in api_sockets[: 2 if "unix_fd" in hands else 1])
    return reload.Handed(
        tcp,
        {name: os.dup(listener.fileno()) for name, listener in listeners.items()},
        reloads + 1,
        os.dup(lock) if "lock_fd" in hands else -1,
        unix[0] if unix else -1,
        os.dup(hook.listener.fileno()) if hook and hook.listener and "webhook_fd" in hands else -1,
    )


async def _serve(
    options: Options,
    found: Found,
    listeners: Mapping[str, socket.socket],
    api_sockets: Sequence[socket.socket],
    hook: Webhook | None,
    reloads: int,
    ending: Ending,
    manager: Manager,
) -> None:
    containment.adopt_orphans()
    app = App.of(options, found, tasks := asyncio.TaskGroup())
    entry = publication.entry_of(options)
    await app.mode.open(listeners, found.left, renew=reloads > 0)
    async with tasks:
        reload_now = partial(try_to_reload, options, app.deployer.operations, ending, manager)
        domains = edge_link.Domains(options, app.notices, hook_port=hook.status.port if hook else 0)
        api = _api(options, app, entry, hook, reloads, reload_now, domains)
        servers = [Server(listener, api) for listener in api_sockets]
        if hook and hook.listener:
            hook.following = app.following
            servers.append(Server(hook.listener, hook, webhook.MOST_CONNECTIONS))
        manager.extend(longest_wait_s(app))
        recovery = app.start()
        end = tasks.create_task(ending.came.wait())
        await asyncio.wait([recovery, end], return_when=asyncio.FIRST_COMPLETED)
        beside: list[asyncio.Task[None]] = []
        if not ending.came.is_set():
            for server in servers:
                server.start()
            on_signal = reload_on_signal(ending, app.deployer.operations, reload_now)
            beside = [tasks.create_task(work) for work in (publication.keep(entry), domains.keep(), on_signal)]
            _tell_ready(options, app, reloads, manager)
            if hook and hook.listener:
                log.info("webhook: %s; `slot-machine webhook` prints what a forge needs", hook.status.url)
        await end
        for task in beside:
            task.cancel()
        await (_let_go(app, servers) if ending.reloads else _end(app, entry, servers, manager))


async def _let_go(app: App, servers: Sequence[Server]) -> None:
    """Leaves all to the next image."""
    log.info("reloading")
    await _stop(servers)
    await app.let_go()


async def _end(app: App, entry: Entry, servers: Sequence[Server], manager: Manager) -> None:
    registry.withdraw(entry)
    log.info("stopping")
    manager.stopping(longest_wait_s(app))
    await app.stop()
    await _stop(servers)


def _tell_ready(options: Options, app: App, reloads: int, manager: Manager) -> None:
    manager.headline = partial(headline, app)
    manager.ready()
    if reloads and app.deployer.env_changed:
        log.warning(KEEPS_ENVIRONMENT)
    config = options.config.daemon
    where = f"{config.address} port {config.port}" if config.address else f"port {config.port}"
    log.info("ready: app on %s (%s), API on 127.0.0.1:%d", where, app.mode.name, config.api_port)


def _api(
    options: Options,
    app: App,
    entry: Entry,
    hook: Webhook | None,
    reloads: int,
    reload_now: Callable[[], Awaitable[None]],
    domains: edge_link.Domains,
) -> Api:
    user = rights.other() if options.config.daemon.push_as_user else None
    authenticates = options.config.daemon.api_auth
    guard = Guard(options.data, authenticates=authenticates, entry=entry, pusher=user.uid if user else -1)
    return Api(
        app.deployer,
        partial(_status, app, entry, reloads, hook, domains),
        lambda: metrics.render(entry.name, app.supervisor, app.deployer.candidates, app.jobs, app.mode),
        reload_now,
        partial(renew, options, reload_now),
        guard,
        {
            **one_offs.routes(app.one_offs),
            **env_file.routes(options),
            **maintenance.routes(app.maintenance),
            **notify.routes(app.notices),
            **candidates.routes(app.deployer, guard),
            **push.routes(app.pushes, guard),
            **viewed("/stats", partial(stats.gather, app)),
            **viewed("/top", lambda _: top.gather(app)),
        },
    )


def _status(app: App, entry: Entry, reloads: int, hook: Webhook | None, domains: edge_link.Domains) -> status.Status:
    return status.gather(app, entry, reloads, hook.status if hook else "", domains.status)


async def _stop(servers: Sequence[Server]) -> None:
    await asyncio.gather(*(server.stop() for server in servers))


def _api_sockets(options: Options, before: reload.Handed | None) -> list[socket.socket]:
    """On loopback and in the data folder. The second one is left out if it can't be made there."""
    tcp = before.api_socket() if before else ports.bind_loopback(options.config.daemon.api_port)
    unix = api_socket.taken_over(options.data, before.unix_socket() if before else None)
    return [tcp, unix] if unix else [tcp]
