"""Keeps this daemon's entry in the registry, and tells whether a request means its app."""

import asyncio
import logging
import os

import msgspec

from slot_machine import __version__
from slot_machine.app.opening import Options
from slot_machine.core.defaults import APP_FIELD, FILE_NAME
from slot_machine.core.errors import BadRequest, WrongApp
from slot_machine.daemon.connection import Request
from slot_machine.host import registry
from slot_machine.host.process import proc
from slot_machine.host.registry import Entry

AGAIN_AFTER_S = 30.0
"""The folder of a user's entries is removed when that user logs out."""

log = logging.getLogger(__name__)


class Meant(msgspec.Struct, frozen=True):
    """The app that a client means. On the same machine its folders decide, because two apps may have one name.

    `config` is the path of the configuration that the client has found. Paths mean nothing if `boot_id`, which tells
    machines apart, is another one: a port may be forwarded.
    """

    name: str = ""
    data: str = ""
    config: str = ""
    boot_id: str = ""


def entry_of(options: Options) -> Entry:
    daemon = options.config.daemon
    return Entry(
        name=daemon.name or "",
        data=str(options.data),
        repo=str(options.repo),
        files=_files(options),
        bind=daemon.address,
        port=daemon.port,
        api_port=daemon.api_port,
        version=__version__,
        uid=os.geteuid(),
        process=proc.identify(os.getpid()),
    )


def _files(options: Options) -> tuple[str, ...]:
    """A file outside of the repository stands for those in the repository at which clients may look."""
    found = [options.config_file]
    if options.config.daemon.app_config:
        found.append(options.repo / options.config.daemon.app_config)
    if not options.config_file.is_relative_to(options.repo):
        found += [options.repo / options.config.version.root / FILE_NAME, options.repo / FILE_NAME]
    return tuple(dict.fromkeys(map(os.path.realpath, found)))


async def keep(entry: Entry) -> None:
    """Publishes the entry, and again whenever it was removed. Runs until cancelled."""
    registry.forget_dead(entry.uid)
    told = False
    while True:
        try:
            registry.publish(entry)
        except (OSError, UnicodeError) as error:
            if not told:
                log.warning("`slot-machine list` and the option -a will not find this daemon: %s", error)
            told = True
        await asyncio.sleep(AGAIN_AFTER_S)


def check_meant(request: Request, entry: Entry) -> None:
    """Raises WrongApp for a request that was meant for the daemon of another app, BadRequest."""
    for given in request.all(APP_FIELD.lower()):
        try:
            meant = msgspec.json.decode(given, type=Meant)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadRequest(f"bad field {APP_FIELD}: {error}", f'send `{APP_FIELD}: {{"name": "shop"}}`') from None
        if not _is_meant(meant, entry):
            raise WrongApp(
                f"port {entry.api_port} is that of another app's daemon: {entry.name}, with the data folder"
                f" {entry.data}. This was for {meant.data or meant.name}, so nothing was done",
                "start the other daemon, with an api_port of its own, or name the app that you mean with -a",
            )


def _is_meant(meant: Meant, entry: Entry) -> bool:
    if meant.boot_id == proc.boot_id() and (meant.data or meant.config):
        return meant.data == entry.data or meant.config in entry.files
    return meant.name in ("", entry.name)
