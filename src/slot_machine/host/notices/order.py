"""What a process that delivers one notice is told, and how it ends."""

from enum import IntEnum

import msgspec

MODULE = __package__

WEB = ("http", "https")
"""Schemes for which the process posts the notice itself. It passes other addresses to Apprise."""

CONNECT_TIMEOUT_S = 10.0
REPLY_TIMEOUT_S = 20.0
LIMIT_S = 60.0
"""For the whole process. It is longer than the time limits together."""


class Order(msgspec.Struct, frozen=True):
    """What the process reads from stdin. `body` is JSON."""

    address: str
    title: str
    text: str
    body: str


class End(IntEnum):
    """The exit code. stdout says why, without the address."""

    DELIVERED = 0
    REFUSED = 3
    """To try it again would not help."""
    NOT_SENT = 4
    """It did not arrive. It can be tried again."""
    UNKNOWN = 5
    """It may have arrived, so it must not be tried again."""
