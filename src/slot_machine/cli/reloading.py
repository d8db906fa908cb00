"""`reload`: one daemon, or each daemon of this user, goes on with the code and the configuration of now."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from slot_machine import __version__
from slot_machine.cli import daemons
from slot_machine.cli.client import Client, Json
from slot_machine.core.defaults import KEEPS_ENVIRONMENT
from slot_machine.core.errors import SlotMachineError, Unreachable
from slot_machine.host import registry

POLL_S = 0.05
LIMIT_S = 120.0
"""For the start of the next image, which ends the old one's workers."""
ANSWER_S = 60.0


class Reloaded(NamedTuple):
    """`error` is empty if it went well. `version` is that of the code which the daemon has now."""

    name: str
    data: str
    version: str = ""
    warnings: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""

    def fields(self) -> Json:
        known = self._asdict() | {"success": not self.error, "warnings": list(self.warnings)}
        return {name: value for name, value in known.items() if value != ""}


def one(found: Callable[[], Client], name: str = "", data: str = "") -> Reloaded:
    """Waits until the daemon is there again. Raises nothing but KeyboardInterrupt."""
    try:
        client = found()
        name = name or client.name
        before = _status(client)["reloads"]
        _check(client.reload())
        deadline_s = time.monotonic() + LIMIT_S
        while (known := _status(client))["reloads"] == before:
            if time.monotonic() > deadline_s:
                raise Unreachable(f"it has not come back after {LIMIT_S:g} s", "its output tells why")
            time.sleep(POLL_S)
    except SlotMachineError as error:
        return Reloaded(name, data, error=str(error), hint=error.hint)
    return Reloaded(name, data, str(known.get("version", "")), tuple(_warnings(known)))


def every() -> list[Reloaded]:
    """One after the other, so that the machine is never busy with all of them."""
    return [one(partial(daemons.client, entry, ANSWER_S), entry.name, entry.data) for entry in registry.running()]


def _status(client: Client) -> Json:
    """Raises SlotMachineError."""
    known = client.status()
    _check(known)
    return known


def _check(reply: Json) -> None:
    """Raises SlotMachineError if the daemon has refused."""
    if reply.get("success") is False:
        raise SlotMachineError(str(reply.get("error", "")), str(reply.get("hint", "")))


def _warnings(known: Json) -> list[str]:
    warnings = [KEEPS_ENVIRONMENT] if known.get("env_changed") else []
    if known.get("version", __version__) != __version__:
        warnings.append(
            f"the daemon has an installation of its own, of version {known['version']}; this command is {__version__}"
        )
    return warnings
