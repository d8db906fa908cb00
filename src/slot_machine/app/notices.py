"""What happened is told to the hooks and addresses of the configuration."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from slot_machine.app.clock import now
from slot_machine.app.deliveries import Address, Hook, Surroundings, label
from slot_machine.app.outbox import Deliver, Outbox, Receiver
from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.fields import EventName
from slot_machine.core.model import WEB, Attempt, Version
from slot_machine.core.notice import Notice

END_LIMIT_S = 3.0
"""The end of the daemon, and a reload, wait so long for notices that are under way."""

QUIET_S = 600.0
"""A run that crashes again so soon after it was told is not told again."""

OUTCOMES: dict[tuple[str, str], EventName] = {
    ("deploy", "succeeded"): "deploy_succeeded",
    ("deploy", "failed"): "deploy_failed",
    ("deploy", "cancelled"): "deploy_failed",
    ("deploy", "interrupted"): "deploy_failed",
    ("rollback", "succeeded"): "rolled_back",
    ("rollback", "failed"): "deploy_failed",
    ("restart", "failed"): "deploy_failed",
    ("recovery", "failed"): "unhealthy",
    ("job", "failed"): "job_failed",
    ("promote", "succeeded"): "deploy_succeeded",
    ("promote", "failed"): "deploy_failed",
}
"""By kind and result of an attempt; others are not told."""


class Notices:
    """Its methods raise nothing. A hook gets its own event, and each address gets all of them."""

    def __init__(
        self,
        app: str,
        hooks: Mapping[EventName, Deliver],
        addresses: Mapping[str, Deliver],
        tasks: asyncio.TaskGroup,
        subject_of: Callable[[str], str] = lambda _: "",
    ) -> None:
        """`hooks` are by their events, `addresses` by their labels. `subject_of` gets the hash of a commit."""
        self._app = app
        self._subject_of = subject_of
        self._hooks = {event: Outbox(f"hook {event}", deliver, tasks) for event, deliver in hooks.items()}
        self._addresses = [Outbox(name, deliver, tasks) for name, deliver in addresses.items()]
        self._crashed_s: dict[str, float] = {}
        self._down = False

    def started(self, attempt: Attempt) -> None:
        if attempt.kind == "deploy":
            self._tell(self._of(attempt, "deploy_started"))

    def ended(self, attempt: Attempt) -> None:
        if attempt.kind != "job" and attempt.result == "succeeded":
            self._down = False
        if event := OUTCOMES.get((attempt.kind, attempt.result)):
            self._down = self._down or event == "unhealthy"
            self._tell(self._of(attempt, event))

    def crashed(self, version: Version, run: str, how: str, entry: int = 0) -> None:
        """A run ended by itself. A crash loop is told every ten minutes, and so is that it recovered.

        `entry` is that of the history, if any.
        """
        now_s = asyncio.get_running_loop().time()
        if now_s - self._crashed_s.get(run, -QUIET_S) >= QUIET_S:
            self._crashed_s[run] = now_s
            self._down = self._down or run == WEB
            notice = self._notice("crashed", version, f"{run} ended: {how}")
            self._tell(msgspec.structs.replace(notice, kind="crash", attempt=entry))

    def unhealthy(self, version: Version, reason: str) -> None:
        self._down = True
        self._tell(self._notice("unhealthy", version, reason))

    def recovered(self, version: Version) -> None:
        if self._down:
            self._down = False
            self._tell(self._notice("recovered", version))

    def disk_low(self, lack: str) -> None:
        self._tell(self._notice("disk_low", error=lack))

    def follow_failed(self, error: str) -> None:
        self._tell(self._notice("follow_failed", error=error))

    def certificate_failed(self, what: str) -> None:
        self._tell(self._notice("certificate_failed", error=what))

    async def test(self) -> list[Receiver]:
        """Tells the addresses, once each, and returns what came of it."""
        notice = self._notice("test")
        await asyncio.gather(*(outbox.deliver_now(notice) for outbox in self._addresses))
        return [outbox.receiver for outbox in self._addresses]

    @property
    def receivers(self) -> list[Receiver]:
        """Of addresses, and of hooks that have run."""
        hooks = [outbox.receiver for outbox in self._hooks.values()]
        return [outbox.receiver for outbox in self._addresses] + [hook for hook in hooks if hook.last or hook.error]

    async def end(self) -> None:
        await asyncio.gather(*(outbox.end(END_LIMIT_S) for outbox in (*self._hooks.values(), *self._addresses)))

    def _tell(self, notice: Notice) -> None:
        for outbox in (*(box for event, box in self._hooks.items() if event == notice.event), *self._addresses):
            outbox.put(notice)

    def _of(self, attempt: Attempt, event: EventName) -> Notice:
        return Notice(
            event=event,
            id=secrets.token_hex(16),
            app=self._app,
            time=now(),
            commit=attempt.commit,
            subject=attempt.subject,
            slot=attempt.slot,
            who=attempt.who,
            stage=attempt.stage,
            error=f"job {attempt.job}: {attempt.error}" if attempt.job else attempt.error,
            seconds=attempt.seconds,
            kind=attempt.kind,
            attempt=attempt.id,
            verdict=attempt.verdict,
        )

    def _notice(self, event: EventName | Literal["test"], version: Version | None = None, error: str = "") -> Notice:
        commit, slot = (version.commit, version.slot) if version else ("", "")
        return Notice(
            event=event,
            id=secrets.token_hex(16),
            app=self._app,
            time=now(),
            commit=commit,
            subject=self._subject_of(commit),
            slot=slot,
            error=error,
        )


NOBODY = Notices("", {}, {}, asyncio.TaskGroup())
"""Tells nobody."""


def notices_of(
    config: DaemonConfig, app: str, around: Surroundings, tasks: asyncio.TaskGroup, subject_of: Callable[[str], str]
) -> Notices:
    hooks: dict[EventName, Deliver] = {event: Hook(command, around) for event, command in config.hooks.items()}
    addresses: dict[str, Deliver] = {
        label(number, text): Address(text, around) for number, text in enumerate(config.notify, 1)
    }
    return Notices(app, hooks, addresses, tasks, subject_of)
