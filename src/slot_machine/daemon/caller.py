"""Who asks for a change, as the caller says it and as the daemon sees it."""

from typing import Annotated

import msgspec

from slot_machine.core.errors import Nested
from slot_machine.core.origin import LONGEST_MESSAGE, LONGEST_NAME, Origin
from slot_machine.daemon.connection import Request
from slot_machine.daemon.guard import Guard

ShortText = Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)]
Text = Annotated[str, msgspec.Meta(max_length=LONGEST_MESSAGE)]


class Inside(msgspec.Struct):
    """The attempt, of the daemon with this data folder, whose setup, build, release command or hook sends a request."""

    data: str
    attempt: str


class Asked(msgspec.Struct, kw_only=True):
    """What the body of each request has that begins an attempt.

    `by` is who asks; without it, the daemon writes down whose connection it is. `message` says why. `ref` is the branch
    or tag that the commit was found by. `job` is the name of the job that asks.
    """

    by: ShortText = ""
    message: Text = ""
    ref: ShortText = ""
    job: ShortText = ""
    inside: Inside | None = None

    def trigger(self, request: Request) -> str:
        if self.job:
            return "schedule"
        return "cli" if request.first("user-agent").startswith("slot-machine/") else "api"

    async def origin(self, request: Request, guard: Guard) -> Origin:
        """Raises Nested."""
        if self.inside and guard.is_of(self.inside.data):
            what = f"this comes from a command or hook of attempt {self.inside.attempt}, so it can't begin another one"
            raise Nested(what, "begin it from another place, when that attempt has ended")
        by = self.by or (f"job {self.job}" if self.job else await guard.name(request))
        return Origin(by, self.message, self.ref)
