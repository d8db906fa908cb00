"""What is done with the reply to one request, besides passing it on. Most requests have no rule."""

from http import HTTPStatus
from typing import Protocol

from slot_machine.proxy.heads.reply import Change, ReplyHead


class Rule(Protocol):
    """Asked once the head of a reply has come, and before anything of it is passed on."""

    def change(self, head: ReplyHead, /) -> Change | None:
        """How the client's head differs from the app's; None if it does not."""

    def elsewhere(self, head: ReplyHead, /) -> bool:
        """Whether the reply is dropped, and the other side asked. Only requests without a body that may be repeated
        are, and each of them once."""


class EndCookie:
    """The rule that ends a cookie of ours in the browser. `line` is the Set-Cookie field."""

    def __init__(self, line: bytes) -> None:
        self._line = line

    def change(self, head: ReplyHead) -> Change | None:
        return private_with(self._line, head) if head.status >= HTTPStatus.OK else None

    def elsewhere(self, _: ReplyHead) -> bool:
        return False


def private_with(line: bytes, reply: ReplyHead) -> Change | None:
    """The reply with a Set-Cookie, and kept from shared caches; None if they are to have it."""
    for_one = reply.for_one
    return None if for_one is False else Change(line + for_one)
