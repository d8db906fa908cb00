"""Tells when there is no room for another deploy, before somebody wants one."""

import asyncio
from collections.abc import Callable

from slot_machine.app.failures import going_on
from slot_machine.app.notices import Notices

INTERVAL_S = 60.0


async def keep_telling(lack: Callable[[], str], notices: Notices, interval_s: float = INTERVAL_S) -> None:
    """`lack` says what room the next deploy lacks; empty if there is enough. Runs until cancelled."""
    told = False
    while True:
        with going_on("cannot look for room for the next deploy"):
            lacking = lack()
            if lacking and not told:
                notices.disk_low(lacking)
            told = bool(lacking)
        await asyncio.sleep(interval_s)
