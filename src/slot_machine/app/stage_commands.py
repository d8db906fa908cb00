"""Runs a version's commands that have a stage of their own and come to an end: setup, build, release."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from slot_machine.app.attempt import RunningAttempt
from slot_machine.app.seams import Shell, Starter
from slot_machine.core.defaults import ATTEMPT_VARIABLE
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import Version
from slot_machine.core.phases import HALF_MIGRATED, Phase
from slot_machine.core.version_config import VersionConfig
from slot_machine.host.process import caches, proc
from slot_machine.host.process.containment import owner
from slot_machine.host.process.exits import describe_exit
from slot_machine.host.process.proc import Identity
from slot_machine.state.store import Store

KNOWN = {
    "Cannot find matching keyid": (
        "corepack is older than the keys that packages are signed with: update it by `npm install --global corepack`"
    )
}
"""What helps against failures of tools, by a part of what they print."""


class Command(NamedTuple):
    """`limit_field` is the field that sets `limit_s`."""

    stage: Literal["setup", "build", "release"]
    text: str
    limit_s: float
    limit_field: str

    @property
    def phase(self) -> Phase:
        return Phase(self.stage)

    @property
    def field(self) -> str:
        return f"{self.stage}_command"


def setup_of(config: VersionConfig) -> Command:
    return Command("setup", config.setup_command or "", config.setup_timeout_s, "setup_timeout_ms")


def build_of(config: VersionConfig) -> Command:
    return Command("build", config.build_command or "", config.setup_timeout_s, "setup_timeout_ms")


def release_of(config: VersionConfig) -> Command:
    return Command("release", config.release_command or "", config.release_timeout_s, "release_timeout_ms")


@dataclass(frozen=True)
class StageCommands:
    _store: Store
    _launcher: Starter
    _data: Path
    _shell: Shell

    async def run(self, attempt: RunningAttempt, version: Version, folder: Path, command: Command) -> None:
        """Its output goes to the slot's log and to the client. Raises StageFailed; then nothing of it runs."""
        env = {**self._launcher.environment(version, command.phase, {}), ATTEMPT_VARIABLE: str(attempt.record.id)}
        if command.phase is not Phase.RELEASE:
            env |= caches.variables(self._data, env, folder)
        slot_log = self._launcher.open_log(version, command.phase)
        slot_log.of_command(attempt.record.id, command.stage)

        def on_output(piece: bytes) -> None:
            slot_log.write(piece)
            attempt.printed(piece)

        try:
            with self._recorded(command) as on_start:
                async with asyncio.timeout(command.limit_s):
                    code = await self._shell(command.text, folder, env, owner(self._data), on_start, on_output)
            if code:
                message = f"{command.field} failed with {describe_exit(code)}: {command.text}"
                output = slot_log.tail()
                raise StageFailed(command.phase, message, output, _hint(command, _no_new_privileges(), *_known(output)))
            if slot_log.failure:
                raise StageFailed(command.phase, f"cannot write {slot_log.path}: {slot_log.failure.strerror}")
        except TimeoutError:
            message = f"{command.field} did not end within {command.limit_s:g} s, so it was killed: {command.text}"
            hint = _hint(command, f"raise {command.limit_field} if it needs more time")
            raise StageFailed(command.phase, message, slot_log.tail(), hint) from None
        finally:
            slot_log.close()

    @contextmanager
    def _recorded(self, command: Command) -> Iterator[Callable[[Identity], None]]:
        """While it runs, the database has its process, so that another daemon can end it."""
        started: list[Identity] = []

        def on_start(identity: Identity) -> None:
            self._store.save_process(identity, command.stage)
            started.append(identity)

        try:
            yield on_start
        finally:
            for identity in started:
                self._store.remove_process(identity)


def _hint(command: Command, *hints: str) -> str:
    return "; ".join(filter(None, (*hints, HALF_MIGRATED if command.phase is Phase.RELEASE else "")))


def _known(output: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(hint for said, hint in KNOWN.items() if any(said in line for line in output))


def _no_new_privileges() -> str:
    """A hint for a command that may have failed because of NoNewPrivileges; empty if that is not set."""
    if not proc.no_new_privileges():
        return ""
    return "the daemon runs with NoNewPrivileges=, so sudo, setuid programs and file capabilities don't work in it"
