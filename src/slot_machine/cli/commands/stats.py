"""`stats`."""

import click

from slot_machine.cli import render
from slot_machine.host import printing


class Since(click.ParamType):  # type: ignore[type-arg]  # Older ones take none.
    """As the daemon understands it: in UTC, whatever the time zones of client and daemon."""

    name = "TIME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from datetime import datetime

        from slot_machine.core import moments

        try:
            return moments.since(value, datetime.now().astimezone()).isoformat()
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("stats")
@click.option("--since", type=Since(), default="24h", show_default=True, help="10m, 2h, 7d, or RFC 3339.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def command(since: str, as_json: bool) -> None:
    """Show how many requests came, how long they took, and which paths are slow or fail."""
    client = render.client()
    reply = client.stats(since)
    render.fail_if_refused(reply)
    if as_json:
        import json

        printing.result(json.dumps(reply))
        return

    from slot_machine.cli import stats

    for line in stats.lines(reply, client.name):
        printing.result(line)
