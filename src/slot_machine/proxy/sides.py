"""Which requests go to the upstream beside the live one: by a preview's token, else by a share, else none."""

from typing import Protocol

from slot_machine.core.upstream import INTERNAL, PREVIEW, Beside, Upstream
from slot_machine.proxy import preview
from slot_machine.proxy.heads.forwarded import Sender
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.heads.visit import UNDECIDED, Visit
from slot_machine.proxy.rule import Rule
from slot_machine.proxy.share import MISSING, Pin, Visitors, unpin

NOTHING = Beside(Upstream(0, "", {}))
"""What is beside the live version while nothing is."""


class Shared(Protocol):
    """What all requests share. `port` is the public one."""

    port: int
    visitors: Visitors


class Client(Protocol):
    sender: Sender

    @property
    def shared(self) -> Shared: ...


class Asking(Protocol):
    """A request, as an exchange has it."""

    listener: str
    head: RequestHead
    rule: Rule | None

    @property
    def client(self) -> Client: ...


class Routed(Protocol):
    """What is routed, as a router has it."""

    beside: Beside | None

    @property
    def upstream(self) -> Upstream | None: ...


def goes_beside(asking: Asking, beside: Beside) -> bool:
    """Also sets the rule for its reply. It may be asked again for the same request."""
    if asking.listener == INTERNAL:
        return False
    tokens = asking.head.tokens
    if tokens is None and asking.listener != PREVIEW:
        return _by_share(asking, beside)
    if preview.goes_there(asking.listener, asking.head, beside):
        # A script is to see what is missing, and on its own port the candidate alone answers.
        alone = tokens is None or tokens.explicit or asking.listener == PREVIEW
        digested = not alone and asking.head.visit(beside, asking.client.shared.port).digested
        asking.rule = preview.UNLISTED_FILE if digested else preview.UNLISTED
        return True
    if asking.listener == PREVIEW:
        return False
    goes = _by_share(asking, beside)
    asking.rule = asking.rule or preview.expired(asking.head, asking.client.sender, asking.client.shared.port)
    return goes


def end_share(asking: Asking) -> None:
    """While nothing is beside the live version: the rule for a reply to a browser that has the cookie of a share."""
    _by_share(asking, NOTHING)


def _by_share(asking: Asking, beside: Beside) -> bool:
    head = asking.head
    visit = head.latest_visit
    if visit is None or visit.beside is not beside:
        visit = head.visit(beside, asking.client.shared.port)
    number = visit.number
    if number == UNDECIDED and beside.share:
        return _undecided(asking, visit) < beside.share
    if visit.stale and visit.takes_pin:
        asking.rule = unpin(asking.client.shared.port, secure=head.is_https(asking.client.sender))
    else:
        asking.rule = MISSING if visit.digested else None
    return UNDECIDED < number < beside.share


def stands_in(asking: Asking, upstream: Upstream, routed: Routed) -> bool:
    """Whether the other side gets a request that `upstream` does not take: refused, or ended without a reply."""
    beside = routed.beside
    if beside is None or asking.listener == INTERNAL or isinstance(asking.rule, preview.Unlisted):
        return False
    if upstream.run_id != beside.upstream.run_id:
        return beside.stands_in
    return beside.share > 0 and routed.upstream is not None


def _undecided(asking: Asking, visit: Visit) -> int:
    """The number for a request that has none."""
    rule = asking.rule
    if rule is not None and isinstance(rule, Pin) and rule.visit.beside.share_id == visit.beside.share_id:
        return rule.number
    client, shared = asking.client, asking.client.shared
    address, secure = asking.head.origin(client.sender)
    number, offer = shared.visitors.number(visit, address)
    if offer:
        asking.rule = Pin(number, visit, shared.visitors, shared.port, secure)
    else:
        asking.rule = MISSING if visit.digested else None
    return number
