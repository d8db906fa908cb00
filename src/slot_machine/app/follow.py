"""Looks at a branch of a remote repository, and deploys its latest commit."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Literal

import msgspec

from slot_machine.app.clock import monotonic_s, now
from slot_machine.app.deployer import Deployer
from slot_machine.app.failures import going_on, in_words
from slot_machine.app.notices import Notices
from slot_machine.app.outcomes import PLAIN
from slot_machine.app.seams import Remote
from slot_machine.core.daemon_config import Follow
from slot_machine.core.errors import Busy, SlotMachineError, Stopping
from slot_machine.core.following import FOLLOW, LONGEST_LOOK_S, LONGEST_WAIT_S, past_of, wait_s
from slot_machine.core.model import State, short
from slot_machine.core.origin import Origin
from slot_machine.state.store import Store

GAP_S = 1.0
"""Between two looks, however many calls of the webhook come."""

TOLD_AFTER = 5
"""So many looks in a row have to fail until a notice tells it, once."""

MOST_ATTEMPTS = 200
"""So many of the history are asked about a commit."""

FollowState = Literal["", "live", "deploying", "waiting", "retrying", "left_out", "not_forward"]

log = logging.getLogger(__name__)


class FollowStatus(msgspec.Struct):
    """`commit` is the one at which the branch was at the last look that succeeded; `reason` goes on from there.

    `looked_at` is when the last look ended (RFC 3339), and `error` why it failed. Texts may be empty.
    """

    remote: str
    branch: str
    every_s: int
    force: bool
    commit: str = ""
    state: FollowState = ""
    reason: str = ""
    looked_at: str = ""
    error: str = ""
    hint: str = ""
    failures: int = 0
    """So many looks in a row have failed."""
    next_s: float = 0.0
    """Seconds until the next look; 0 while it looks or deploys."""
    unusable: bool = False
    """The commit's own file lets no deploy of it succeed."""


class Following:
    """`status` says what the last look has found. No clock is asked but that of the event loop."""

    def __init__(
        self, follow: Follow, remote: Remote, deployer: Deployer, store: Store, notices: Notices, shown: str
    ) -> None:
        """`shown` is what people see of the remote's address."""
        self.status = FollowStatus(shown, follow.branch, follow.every_s, follow.force)
        self._follow = follow
        self._remote = remote
        self._deployer = deployer
        self._store = store
        self._notices = notices
        self._asked = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._unusable = False
        self._turn_comes = False
        """A commit waits until the operation that runs has ended."""
        self._tried = ""
        self._tries = 0
        self._due_s = 0.0
        """The commit that could not be deployed, how often in a row, and when it is tried again."""
        self._noted = ""
        self._next_s = 0.0
        """When the next look begins."""

    def overview(self) -> FollowStatus:
        """What `status` tells."""
        return msgspec.structs.replace(self.status, next_s=max(round(self._next_s - monotonic_s(), 1), 0.0))

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._keeping = tasks.create_task(self._keep())

    async def stop(self) -> None:
        """Ends a fetch that is under way. A deploy goes on. Raises nothing."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    def look_soon(self) -> None:
        """At once, or when the look that is under way has ended. Many calls become one look."""
        self._asked.set()

    async def _keep(self) -> None:
        await self._deployer.operations.idle()
        while not self._deployer.operations.ending:
            self._asked.clear()
            await self._pause(await self._look())

    async def _look(self) -> float:
        """Returns the seconds until the next look. Raises nothing."""
        self._turn_comes = False
        try:
            tip = await self._remote.tip()
            self.status.looked_at = now()
            return await self._decide(tip)
        except Stopping:
            return self._follow.every_s
        except Exception as error:  # noqa: BLE001 - it is tried again
            return self._failed(error)

    def _failed(self, error: Exception) -> float:
        known = isinstance(error, SlotMachineError)
        status = self.status
        before, status.error = status.error, str(error) if known else in_words(error)
        status.hint = error.hint if isinstance(error, SlotMachineError) else ""
        status.looked_at, status.failures = now(), status.failures + 1
        if status.error != before:
            log.error("cannot look at %s of %s: %s", status.branch, status.remote, in_words(error))
        if status.failures == TOLD_AFTER:
            self._notices.follow_failed(in_words(error))
        return wait_s(self._follow.every_s, status.failures, LONGEST_LOOK_S)

    async def _decide(self, tip: str) -> float:
        """Deploys the commit if it is to be deployed. Returns the seconds until the next look.

        Raises Stopping, GitFailed, sqlite3.Error.
        """
        state, every_s = self._deployer.state, self._follow.every_s
        if state.live and state.live.commit == tip:
            self._say(tip, "live", "which is live")
        elif reason := await self._left_out(tip, state):
            self._say(tip, "left_out", f"left out {reason}")
        elif reason := await self._not_forward(tip, state):
            self._say(tip, "not_forward", reason)
        elif self._deployer.state != state:
            return 0.0
        elif reason := self._obstacle(tip):
            self._say(tip, "waiting", f"which waits {reason}")
        elif self._tried == tip and (rest_s := self._due_s - monotonic_s()) > 0:
            tries = f"{self._tries} times" if self._tries > 1 else "once"
            self._say(tip, "retrying", f"which could not be deployed, tried {tries}, and is tried again")
            return min(rest_s, every_s)
        else:
            await self._deploy(tip)
            return 0.0
        return every_s

    async def _left_out(self, tip: str, state: State) -> str:
        """Why it is not deployed by itself, though it is not live. Empty if it may be."""
        self._unusable = False
        past = past_of(tip, state, self._store.attempts(MOST_ATTEMPTS, jobs=False, crashes=False))
        if past.left_out:
            await self._note(tip)
            return past.left_out
        if not past.known and await self._remote.left_out() == tip:
            return "since before the state was rebuilt"
        if past.tries and (unusable := await self._deployer.unusable(tip)):
            await self._note(tip)
            self._unusable = True
            return f"as {unusable}"
        if past.tries and self._tried != tip:
            self._put_off(tip, past.tries)
        return ""

    async def _note(self, tip: str) -> None:
        if self._noted != tip:
            with going_on(f"cannot note in the repository that {short(tip)} is left out"):
                await self._remote.leave_out(tip)
                self._noted = tip

    async def _not_forward(self, tip: str, state: State) -> str:
        """Why the branch has not moved forward from the live version. Empty if it has, or need not."""
        live = state.live
        if not live or self._follow.force or await self._remote.contains(tip, live.commit):
            return ""
        if await self._remote.contains(live.commit, tip):
            return "which the live version has already"
        return f"which does not follow from the live {short(live.commit)}"

    def _obstacle(self, tip: str) -> str:
        """Until when it waits, in words."""
        if self._deployer.operations.busy:
            self._turn_comes = True
            return f"until this has ended: {self._deployer.operations.what_runs}"
        held = self._deployer.candidates.record
        if held and (held.state != "failed" or held.version.commit == tip):
            return f"while {short(held.version.commit)} is {held.state}"
        return ""

    async def _deploy(self, tip: str) -> None:
        """Raises Stopping."""
        self._say(tip, "deploying", "which is being deployed")
        origin = Origin(who=FOLLOW, ref=self._follow.branch)
        try:
            task = self._deployer.deploy(tip, FOLLOW, lambda _: None, PLAIN, origin)
        except Busy:
            self._turn_comes = True
            return
        await asyncio.wait([task])
        outcome = Stopping() if task.cancelled() else task.result()
        if isinstance(outcome, Stopping):
            raise outcome
        if isinstance(outcome, SlotMachineError):
            self._put_off(tip, self._tries + 1 if self._tried == tip else 1)
        else:
            self._tried, self._tries = "", 0

    def _put_off(self, tip: str, tries: int) -> None:
        self._tried, self._tries = tip, tries
        self._due_s = monotonic_s() + wait_s(self._follow.every_s, tries, LONGEST_WAIT_S)

    def _say(self, tip: str, state: FollowState, reason: str) -> None:
        """What the look has found: it has not failed."""
        status = self.status
        if status.failures:
            log.info("the look at %s of %s succeeded again", status.branch, status.remote)
        status.error, status.hint, status.failures = "", "", 0
        if (tip, state, reason) != (status.commit, status.state, status.reason):
            level = logging.WARNING if state in ("left_out", "not_forward") else logging.INFO
            log.log(level, "%s is at %s, %s", status.branch, short(tip), reason)
        status.commit, status.state, status.reason = tip, state, reason
        status.unusable = state == "left_out" and self._unusable

    async def _pause(self, pause_s: float) -> None:
        """Ends early if somebody asks for a look, or if a commit waits and its turn comes."""
        if pause_s <= 0:
            return
        self._next_s = monotonic_s() + pause_s
        await asyncio.sleep(min(pause_s, GAP_S))
        ends: list[Coroutine[None, None, object]] = [self._asked.wait()]
        if self._turn_comes:
            ends.append(self._deployer.operations.idle())
        waiting = [asyncio.ensure_future(end) for end in ends]
        try:
            await asyncio.wait(waiting, timeout=max(pause_s - GAP_S, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._next_s = 0.0
            for task in waiting:
                task.cancel()
