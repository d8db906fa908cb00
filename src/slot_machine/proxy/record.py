"""What the access log is told of a request that is over."""

import time
from math import inf
from typing import Protocol

from slot_machine.core.upstream import Upstream
from slot_machine.proxy.access_log import Finished, shown
from slot_machine.proxy.heads.forwarded import Sender
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.observer import NO_SLOT


class Client(Protocol):
    sender: Sender


class Routed(Protocol):
    upstream: Upstream


class Over(Protocol):
    """An exchange. `sent_s` and `replied_s` are when the app got the request, and when its reply began.

    Most requests have neither: they are sent to the app at once, and all of the reply comes at once.
    """

    head: RequestHead
    request_id: bytes
    status: int
    sent: int
    began_s: float
    sent_s: float
    replied_s: float

    @property
    def client(self) -> Client: ...

    @property
    def route(self) -> Routed | None: ...


def of(over: Over, now_s: float) -> Finished:
    head = over.head
    method, target, request_id = map(shown, (head.method, head.target, over.request_id))
    slot = over.route.upstream.slot if over.route else NO_SLOT
    client, (user_agent, referer) = head.client(over.client.sender), head.logged()
    sent_s, replied_s = getattr(over, "sent_s", over.began_s), getattr(over, "replied_s", now_s)
    upstream_s = replied_s - sent_s if over.status and replied_s != inf else 0.0
    return Finished(
        time.time(),
        method,
        target,
        over.status,
        over.sent,
        now_s - over.began_s,
        slot,
        request_id,
        client,
        user_agent,
        referer,
        upstream_s,
    )
