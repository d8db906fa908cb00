"""What a field of `slot-machine.json` may contain, and its words for docs/configuration.md."""

from typing import Annotated, Literal, NamedTuple, get_args

import msgspec

from slot_machine.core.defaults import LARGEST_PORT

DAY_MS = 86_400_000
RECENT = "recent"
"""In place of the paths of `rehearse`."""

Port = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_PORT)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=DAY_MS)]
TimeLimit = Annotated[int, msgspec.Meta(ge=1, le=DAY_MS)]
HoldLimit = Annotated[int, msgspec.Meta(ge=1, le=30 * DAY_MS)]
Number = Annotated[int, msgspec.Meta(ge=0, le=4_294_967_294)]
Signal = Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "TSTP", "WINCH"]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}\Z")]
"""Of a process or a job: it is part of the names of files and metrics."""
Megabytes = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
CpuWeight = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
PagePath = Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*\Z")]
EventName = Literal[
    "deploy_started",
    "deploy_succeeded",
    "deploy_failed",
    "rolled_back",
    "crashed",
    "unhealthy",
    "recovered",
    "job_failed",
    "disk_low",
    "follow_failed",
    "certificate_failed",
]
"""What hooks and notices tell."""
Branch = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(?!refs/|[-./@]\Z|[-./])(?!.*(\.\.|@\{|//|/\.|\.lock(/|\Z)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])\Z"
    ),
]
"""As git-check-ref-format(1) allows it."""
Statuses = Annotated[str, msgspec.Meta(pattern=r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?\Z")]


class Doc(NamedTuple):
    """What docs/configuration.md says of a field, in Markdown. `default` replaces a value that does not explain itself.

    A reload can't change a `fixed` field: the daemon has to be stopped and started for that.
    """

    meaning: str
    default: str = ""
    fixed: bool = False


def docs(struct: type[msgspec.Struct]) -> dict[str, Doc]:
    """By the names of the fields."""
    return {
        field.name: next(meta for meta in get_args(field.type) if isinstance(meta, Doc))
        for field in msgspec.structs.fields(struct)
    }
