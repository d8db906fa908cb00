"""Who began an attempt, why, and what people know its commit by."""

import re
from typing import NamedTuple

NO_NAME = re.compile(r"(HEAD|@)([~^@{].*)?|.*[~^:{].*|-.*|", re.DOTALL)
"""What git resolves to a commit, but is no branch or tag."""

LONGEST_SUBJECT = 200
LONGEST_NAME = 200
"""Of who asks, and of a branch or tag, in the history."""
LONGEST_MESSAGE = 2000


class Origin(NamedTuple):
    """`ref` is by what the commit was asked for, if the caller resolved that itself. Each may be empty."""

    who: str = ""
    message: str = ""
    ref: str = ""

    def naming(self, commitish: str, commit: str) -> "Origin":
        """With the branch or tag that the commit was asked for by as its `ref`; empty if it was neither."""
        asked = self.ref or commitish
        is_name = not NO_NAME.fullmatch(asked) and not commit.startswith(asked.lower())
        return self._replace(ref=asked if is_name else "")


UNKNOWN = Origin()


class Description(NamedTuple):
    """Of a commit: its subject, the name of its author, and when it was committed (RFC 3339). Each may be empty."""

    subject: str = ""
    author: str = ""
    committed_at: str = ""
