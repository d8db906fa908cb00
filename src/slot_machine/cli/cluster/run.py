"""`run` on a cluster: a command in a copy of the live version of its own."""

import sys

from slot_machine.cli.cluster import subject
from slot_machine.core.errors import NothingLive

SHELL = ("/bin/sh",)


def run(words: tuple[str, ...], **_: object) -> None:
    """Without `words`, a shell."""
    subject.only("words")
    engine = subject.engine(subject.source())
    if not engine.live():
        raise NothingLive("nothing is live, so there is no version to run a command in", "`slot-machine deploy` first")
    sys.exit(engine.run(words or SHELL, terminal=sys.stdin.isatty() and sys.stdout.isatty()))
