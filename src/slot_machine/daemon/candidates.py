"""`POST /abort`, and what the status says of a candidate, or of a version that is watched."""

from typing import Literal

import msgspec

from slot_machine.app.candidates import Candidates
from slot_machine.app.deployer import Deployer
from slot_machine.app.watching import Watching
from slot_machine.core.candidate import CandidateState
from slot_machine.daemon.caller import Asked
from slot_machine.daemon.connection import Request, Response
from slot_machine.daemon.guard import Guard
from slot_machine.daemon.replies import Routes, decoded, in_json


class CandidateStatus(msgspec.Struct, kw_only=True):
    """All are empty if there is none. `since` is RFC 3339 in UTC; `error` says why it failed.

    `preview_url` is told only to those who may change things.
    """

    slot: str = ""
    commit: str = ""
    state: CandidateState | Literal[""] = ""
    since: str = ""
    preview_url: str = ""
    share: float = 0
    """In per cent of the visitors."""
    verdict: str = ""
    numbers: dict[str, float] = {}
    error: str = ""
    warnings: tuple[str, ...] = ()
    """What is no reason to take it back, such as latency."""


class AbortReply(msgspec.Struct):
    """`state` is what the candidate was; empty if it was still on its way."""

    success: bool
    commit: str
    slot: str
    state: str


def routes(deployer: Deployer, guard: Guard) -> Routes:
    async def abort(request: Request) -> Response:
        body = decoded(await request.body() or b"{}", Asked, '{"by": "somebody"}')
        aborted = await deployer.abort(await body.origin(request, guard))
        return in_json(AbortReply(True, *aborted), 200)

    return {"/abort": ("POST", abort)}


def status(candidates: Candidates, watching: Watching) -> CandidateStatus:
    candidate = candidates.record
    if not candidate:
        return CandidateStatus()
    version = candidate.version
    found = CandidateStatus(
        slot=version.slot,
        commit=version.commit,
        state=candidate.state,
        since=candidate.since,
        preview_url=candidates.preview_url,
        share=candidate.percent,
        error=candidate.error,
    )
    judging = watching.judging if candidate.state == "watched" else candidates.share_watch.judging
    if candidate.state == "watched" and judging:
        found.share = 100
    if verdict := judging.verdict if judging else candidate.verdict:
        found.verdict, found.numbers, found.warnings = str(verdict), verdict.numbers, verdict.warnings
    return found
