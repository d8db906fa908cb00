"""The console script."""

import sys

from slot_machine.host import printing
from slot_machine.host.process import streams


def main() -> None:
    """`status` must answer fast, so it goes without the library that the other commands are parsed by."""
    streams.ensure()
    printing.guard()
    if sys.argv[1:] == ["status"]:
        from slot_machine.cli import render

        render.main()
    else:
        from slot_machine.cli import commands

        commands.main()


if __name__ == "__main__":
    main()
