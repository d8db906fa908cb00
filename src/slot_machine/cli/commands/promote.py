"""`promote`."""

import re

import click

from slot_machine.cli import render
from slot_machine.cli.manner import WATCH_GOES_ON, AttemptCommand, Manner

PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) *%?", re.ASCII)


class Share(click.ParamType):  # type: ignore[type-arg]  # Older ones take none.
    """In per cent, more than 0 and at most 100."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = PERCENT.fullmatch(str(value))
        share = float(found[1]) if found else 0.0
        if not 0 < share <= 100:
            self.fail(f"{value!r} is no share of the visitors, such as 10% or 2.5%", param, ctx)
        return share


@click.command("promote", cls=AttemptCommand)
@click.option(
    "--share",
    type=Share(),
    default=100.0,
    metavar="PERCENT",
    help="Only for so many of the visitors, such as 10% or 2.5%.",
)
@click.option("--detach", is_flag=True, help="Return at the switch, if the version is watched after it.")
@click.pass_obj
def command(manner: Manner, share: float, detach: bool) -> None:
    """Make the version live that `deploy --hold` holds. During a watch, end it: the new version stays.

    With --share, only a part of the visitors get it. A visitor stays on a side; a larger share moves visitors only to
    the new version. The version is held on: promote it for all, or abort it.
    """
    reply = manner.follow(render.client().promote(share, by=manner.by, message=manner.message, detach=detach))
    if reply.get("share"):
        hint = "`slot-machine promote` makes it live, `slot-machine abort` sends all visitors back"
        manner.tell(reply, f"{reply['share']:g}% of the visitors get {reply['commit']} in slot {reply['slot']}", hint)
    else:
        hint = WATCH_GOES_ON if reply.get("watched") else ""
        manner.tell(reply, f"promoted {reply['commit']} in slot {reply['slot']}", hint)
