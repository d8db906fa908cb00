"""`GET /history` and `GET /history/ID`."""

import re
from http import HTTPStatus
from urllib.parse import parse_qs

import msgspec

from slot_machine.app.attempts import Attempts
from slot_machine.core.errors import BadRequest, NoSuchAttempt
from slot_machine.core.model import Attempt
from slot_machine.daemon.connection import HttpError

PATH = "/history/"
LIMIT = 20
ONLY_JOBS = {"": None, "true": True, "false": False}


class WithOutput(Attempt, kw_only=True):
    """`output` has what its commands printed, by stage."""

    output: dict[str, str]


def entries(attempts: Attempts, target: str) -> list[Attempt]:
    """`?limit=20` asks for so many, the latest first; `?jobs=false` leaves jobs out, `?jobs=true` all else.

    Raises BadRequest.
    """
    query = parse_qs(target.partition("?")[2])
    given, jobs = query.get("limit", [str(LIMIT)])[-1], query.get("jobs", [""])[-1]
    if not re.fullmatch("[0-9]{1,4}", given):
        raise BadRequest(f"bad limit {given!r}", f"send a number, such as /history?limit={LIMIT}")
    if jobs not in ONLY_JOBS:
        raise BadRequest(f"bad jobs {jobs!r}", "send true or false, such as /history?jobs=false")
    return attempts.history(int(given), ONLY_JOBS[jobs])


def entry(attempts: Attempts, target: str) -> WithOutput:
    """`/history/last` is the latest one that is no job and no crash. Raises HttpError, NoSuchAttempt."""
    number = target.partition("?")[0].removeprefix(PATH)
    if not re.fullmatch("last|[0-9]{1,18}", number):
        raise HttpError(HTTPStatus.NOT_FOUND)
    found = attempts.last if number == "last" else attempts.find(int(number))
    if not found:
        what = "the history has no attempt yet" if number == "last" else f"the history has no entry {number}"
        raise NoSuchAttempt(what, "`slot-machine history` lists them")
    return WithOutput(**msgspec.structs.asdict(found), output=attempts.output(found.id))
