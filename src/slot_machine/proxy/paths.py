"""Folds paths: `/users/17/posts` and `/users/18/posts` are counted as one, `/users/:id/posts`."""

import re

from slot_machine.proxy.access_log import shown
from slot_machine.proxy.heads.fields import Cache

MOST_SHOWN = 80
"""Characters of a path that are kept."""

FOLDED = b":id"
ID = re.compile(
    rb"""(?<![0-9A-Za-z])(?:
        [0-9]+
        |[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}
        |(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,}
        |(?=[A-Za-z_]*[0-9])[0-9A-Za-z_]{20,}
    )(?![0-9A-Za-z])""",
    re.VERBOSE,
)
"""A number, a UUID, a digest in hexadecimal, or a long token with a digit in it. `v1` and `h2` are none."""


def pattern(path: bytes) -> bytes:
    return b"/".join([FOLDED if part.isdigit() else _parts[part] for part in path.split(b"/")])


def in_words(folded: bytes) -> str:
    text = shown(folded)
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def _without_ids(part: bytes) -> bytes:
    return ID.sub(FOLDED, part)


_parts = Cache(_without_ids)
"""Most parts of paths come again and again. A number does not, so it is not looked up."""
