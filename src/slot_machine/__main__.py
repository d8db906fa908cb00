"""The console script."""

import os
import sys

from slot_machine.core.defaults import HOST_VARIABLE
from slot_machine.host import printing


def main() -> None:
    """`status` must answer fast, so it goes without the library that the other commands are parsed by."""
    _open_standard_streams()
    printing.guard()
    if sys.argv[1:] in (["status"], ["status", "--json"]) and not os.environ.get(HOST_VARIABLE):
        from slot_machine.cli import status

        status.main(as_json="--json" in sys.argv)
    else:
        from slot_machine.cli import main as cli

        cli.main()


def _open_standard_streams() -> None:
    """Opens /dev/null for those that are closed, because the next socket would get the number of one of them."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


if __name__ == "__main__":
    main()
