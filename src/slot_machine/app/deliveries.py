"""How a notice gets to its receiver: to a command, or to an address by a process of its own."""

import asyncio
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from slot_machine.app.outbox import NotSent
from slot_machine.core.defaults import ATTEMPT_VARIABLE
from slot_machine.core.errors import EnvFileError, SlotMachineError
from slot_machine.core.masking import Masking
from slot_machine.core.model import SLOTS, Slot, Version
from slot_machine.core.notice import Notice
from slot_machine.core.phases import Phase
from slot_machine.host.notices import order
from slot_machine.host.notices.order import WEB, End, Order
from slot_machine.host.process import commands, env_file, environment
from slot_machine.host.process.exits import describe_exit

HOOK_LIMIT_S = 300.0

SECRET_LENGTH = 16
DIGIT = re.compile("[0-9]").search

Environment = Callable[[Version, Phase, dict[str, int]], Mapping[str, str]]


class NotDelivered(SlotMachineError):
    """To try it again would not help, or might repeat a notice that arrived."""


class Surroundings(NamedTuple):
    """What hooks and addresses need: the folder of the configuration, and what makes the app's environment.

    `masking` knows the values in that environment.
    """

    folder: Path
    env_file: Path | None
    environment: Environment
    owner: str
    masking: Masking


@dataclass(frozen=True)
class Hook:
    command: str
    around: Surroundings

    async def __call__(self, notice: Notice) -> None:
        """Runs the command with the rights and the environment of the app. Raises SlotMachineError, OSError."""
        env = dict(self.around.environment(_version(notice), Phase.IDLE, {}))
        if notice.attempt:
            env[ATTEMPT_VARIABLE] = str(notice.attempt)
        argv = ["/bin/sh", "-c", self.command]
        try:
            async with asyncio.timeout(HOOK_LIMIT_S):
                code, _, errors = await commands.run(
                    argv, self.around.folder, env, self.around.owner, lambda _: None, given=msgspec.json.encode(notice)
                )
        except TimeoutError:
            raise NotDelivered(f"it did not end within {HOOK_LIMIT_S:g} s, so it was killed") from None
        if code:
            last = self.around.masking.text(errors.strip().rpartition("\n")[2])
            raise NotDelivered(f"{describe_exit(code)}{': ' if last else ''}{last}")


@dataclass(frozen=True)
class Address:
    """`text` is as in the configuration: an address, or `$NAME`."""

    text: str
    around: Surroundings

    async def __call__(self, notice: Notice) -> None:
        """Raises NotSent, SlotMachineError, OSError."""
        what = Order(self._address(), notice.title, notice.text, msgspec.json.encode(notice).decode())
        argv = [sys.executable, "-P", "-m", order.MODULE]
        try:
            async with asyncio.timeout(order.LIMIT_S):
                code, said, _ = await commands.run(
                    argv,
                    Path("/"),
                    environment.inherited(),
                    self.around.owner,
                    as_daemon=True,
                    given=msgspec.json.encode(what),
                )
        except TimeoutError:
            raise NotDelivered("it gave no answer") from None
        if code == End.NOT_SENT:
            raise NotSent(said.strip())
        if code:
            raise NotDelivered(said.strip() or f"the delivery ended with {describe_exit(code)}")

    def _address(self) -> str:
        """Raises NotDelivered."""
        if not self.text.startswith("$"):
            return self.text
        try:
            return env_file.secret(self.text[1:], self.around.env_file)
        except EnvFileError as error:
            raise NotDelivered(str(error), error.hint) from None


def label(number: int, text: str) -> str:
    """Names an address without its secrets: its scheme and its place in the list, or the variable that has it."""
    return text if text.startswith("$") else f"{text.partition(':')[0].lower()} {number}"


def has_secret(text: str) -> bool:
    """Whether an address looks as if whoever knows it may use it: it has a password, or a long part with a digit."""
    if text.startswith("$"):
        return False
    scheme, _, rest = text.partition("://")
    parts = re.split(r"[^A-Za-z0-9_-]", rest)
    return scheme.lower() not in WEB or "@" in rest or any(len(part) >= SECRET_LENGTH and DIGIT(part) for part in parts)


def needs_apprise(text: str) -> bool:
    """Whether it is an address of a service that Apprise knows, and Apprise is not installed."""
    here = text.startswith("$") or text.partition(":")[0].lower() in WEB
    return not here and importlib.util.find_spec("apprise") is None


def _version(notice: Notice) -> Version:
    slot: Slot = next((name for name in SLOTS if name == notice.slot), SLOTS[0])
    return Version(slot, notice.commit)
