"""Which requests go to the upstream beside the live one: by a preview's token, else by a share, else none."""

from typing import Protocol

from slot_machine.core.upstream import INTERNAL, PREVIEW, Beside
from slot_machine.proxy import preview
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.rule import Rule


class Asking(Protocol):
    """A request, as an exchange has it."""

    listener: str
    head: RequestHead
    rule: Rule | None


def goes_beside(asking: Asking, beside: Beside) -> bool:
    """Also sets the rule for its reply. It may be asked again for the same request."""
    if asking.listener == INTERNAL:
        return False
    if asking.head.tokens is not None or asking.listener == PREVIEW:
        if preview.goes_there(asking.listener, asking.head, beside):
            asking.rule = preview.UNLISTED
            return True
        if asking.listener == PREVIEW:
            return False
    return False
