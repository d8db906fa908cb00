"""What is done with the reply to one request, besides passing it on. Most requests have no rule."""

from typing import Protocol

from slot_machine.proxy.heads.reply import Change, ReplyHead


class Rule(Protocol):
    """Asked once the head of a reply has come, and before anything of it is passed on."""

    def change(self, head: ReplyHead, /) -> Change | None:
        """How the client's head differs from the app's; None if it does not."""

    def elsewhere(self, head: ReplyHead, /) -> bool:
        """Whether the reply is dropped, and the other side asked. Only requests without a body that may be repeated
        are, and each of them once."""
