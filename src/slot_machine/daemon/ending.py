"""What ends the daemon: a signal ends its process, a reload replaces its image. When a reload may begin."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

from slot_machine.app import opening
from slot_machine.app.failures import log_failure
from slot_machine.app.opening import Options
from slot_machine.app.operations import Operations
from slot_machine.core.daemon_config import FIXED
from slot_machine.core.errors import Busy, ConfigError, Reloading, StartRefused
from slot_machine.daemon import configuration, datafolder, reload
from slot_machine.daemon.service import Manager
from slot_machine.host.user import rights

log = logging.getLogger(__name__)

SIGNAL_DELAY_S = 0.01


class Ending:
    """What ends the daemon. SIGTERM and SIGINT end the process; a reload, which SIGHUP asks for, replaces its image."""

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
        # Signals that came between two images of this process.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, reload.SIGNALS)

    def reload(self, hands: frozenset[str]) -> None:
        """`hands`: the fields of `reload.Handed` that the next image takes."""
        self.reloads = True
        self.hands = hands
        self.came.set()

    async def hand_over(self) -> None:
        """Leaves all signals to the next image, also one that has come just now."""
        signal.pthread_sigmask(signal.SIG_BLOCK, reload.SIGNALS)
        # asyncio runs a signal handler up to two iterations after the signal.
        await asyncio.sleep(SIGNAL_DELAY_S)
        if self._terminated:
            signal.raise_signal(signal.SIGTERM)

    def _terminate(self) -> None:
        self._terminated = True
        self.came.set()


async def try_to_reload(options: Options, operations: Operations, ending: Ending, manager: Manager) -> None:
    """Raises ConfigError, and Busy while a deploy runs."""
    manager.reloading()
    try:
        operations.check_free()
        hands = await reload.check(options.fixed)
        await _check_next(options)
        # A deploy may have begun meanwhile. From here to the refusal nothing is awaited.
        operations.check_free()
    except BaseException:
        manager.ready()
        raise
    operations.refuse_more(Reloading)
    ending.reload(hands)


async def renew(options: Options, reload_now: Callable[[], Awaitable[None]]) -> list[str]:
    """Before a restart: reloads and raises Reloading if a reload can apply what has changed in the daemon's file.

    Returns a warning of other changes. Raises ConfigError, Busy.
    """
    fields = configuration.changed(options)
    if any(name not in FIXED for name in fields):
        await reload_now()
        raise Reloading
    if not fields:
        return []
    what = f"{', '.join(fields)} in {options.config_file} changed, which a restart can't apply"
    return [f"{what}: stop the daemon and start it again for that"]


async def _check_next(options: Options) -> None:
    """Raises ConfigError if the next image of the daemon could not start."""
    try:
        rights.find(options.config.daemon.user_name, options.config.daemon.group_name)
        datafolder.check_place(options.data, options.repo)
        await opening.check(options)
    except StartRefused as error:
        raise ConfigError(f"nothing was reloaded: {error}", error.hint) from None


async def reload_on_signal(ending: Ending, operations: Operations, reload_now: Callable[[], Awaitable[None]]) -> None:
    """Reloads once no deploy runs any more. Runs until cancelled."""
    while True:
        await ending.asked_to_reload.wait()
        ending.asked_to_reload.clear()
        await operations.idle()
        try:
            await reload_now()
        except Busy:
            ending.asked_to_reload.set()
        except Exception as error:  # noqa: BLE001 - the daemon lives
            log_failure("cannot reload", error)
