"""Ends a command whose caller has left. Over ssh without a terminal, nothing but its stdout tells."""

import os
import select
import threading

STDOUT, STDERR = 1, 2
NOBODY_READS = 1
"""The exit code."""


def watch() -> None:
    """From now on. A deploy that waits for its turn gives it up then; one that the daemon has begun goes on."""
    if "SSH_CONNECTION" in os.environ and not os.isatty(STDOUT) and not os.isatty(STDERR):
        threading.Thread(target=_end_with_reader, daemon=True).start()


def _end_with_reader() -> None:
    poll = select.poll()
    poll.register(STDOUT, 0)  # An error and a hangup are always told (poll(2)).
    poll.poll()
    os._exit(NOBODY_READS)
