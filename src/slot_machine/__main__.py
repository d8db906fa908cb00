"""The console script."""

import sys

from slot_machine import printing
from slot_machine.host import streams


def main() -> None:
    """`status` must answer fast, so it goes without the library that the other commands are parsed by."""
    streams.ensure()
    printing.guard()
    if sys.argv[1:] == ["status"]:
        from slot_machine import show

        show.main()
    else:
        from slot_machine import cli

        cli.main()


if __name__ == "__main__":
    main()
