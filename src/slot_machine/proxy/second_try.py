"""A request that an upstream did not take: it moves to another one, is repeated, or turns to the other side."""

from http import HTTPStatus
from time import monotonic
from typing import Protocol

from slot_machine.proxy import sides
from slot_machine.proxy.ends import AppSide, ClientSide, ConnectionOf, E
from slot_machine.proxy.heads.reply import ReplyHead
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.route import Claim, Route
from slot_machine.proxy.rule import Rule


class Tried(Claim[ConnectionOf[E]], Protocol[E]):
    """An exchange. `repeats`: an app may have got it before. `turned`: it goes to the other side than by its rules.

    `missing`: because the one answered 404.
    """

    head: RequestHead
    rule: Rule | None
    route: Route[ConnectionOf[E]] | None
    app: AppSide | None
    began_s: float
    status: int
    received: int
    held: bool
    repeats: bool
    turned: bool
    missing: bool

    @property
    def client(self) -> ClientSide[E]: ...

    def drop_app(self) -> None: ...
    def open(self, route: Route[ConnectionOf[E]], /) -> None:
        """By a connection of its own."""

    def waits_no_longer(self, route: Route[ConnectionOf[E]], /, *, in_vain: bool) -> None: ...


def move(tried: Tried[E]) -> bool:
    """Claims again if new requests go elsewhere: once, or at any time if no app has got the request."""
    route, router = tried.route, tried.client.shared.router
    never_sent = tried.app is None and not tried.status
    if not route or not (never_sent or _repeatable(tried)) or not router.goes_elsewhere(tried, route):
        return False
    tried.drop_app()
    tried.repeats = tried.held = True
    tried.waits_no_longer(route, in_vain=True)
    tried.route = None
    route.replayed()
    router.move(tried, route)
    return True


def repeat(tried: Tried[E]) -> bool:
    """Sends it once more if an idle connection may have been closed before the app saw the request."""
    route, app = tried.route, tried.app
    if not (route and app and app.reused and _repeatable(tried)):
        return False
    tried.app = None
    tried.repeats = True
    route.replayed()
    tried.open(route)
    return True


def turn(tried: Tried[E]) -> bool:
    """Asks the other side, once, if that stands in for this one, which did not take the request."""
    route, app = tried.route, tried.app
    again = tried.head.repeatable and app.silent if app else not tried.status
    if (
        route is None
        or tried.turned
        or not again
        or not sides.stands_in(tried, route.upstream, tried.client.shared.router)
    ):
        return False
    # Whoever watches this version is to know.
    head, status, seconds = tried.head, HTTPStatus.BAD_GATEWAY, monotonic() - tried.began_s
    route.observer.observe(head.target, status, seconds, tried.received, 0)
    route.observer.visited(head.target, status, head.visitor(tried.client.sender))
    tried.drop_app()
    _cross(tried, route)
    return True


def asks_elsewhere(tried: Tried[E], head: ReplyHead) -> bool:
    """Whether the app's reply, of which only the head was read, is not for the client."""
    rule = tried.rule
    if rule is None or tried.turned or not tried.head.repeatable or tried.client.shared.router.beside is None:
        return False
    return rule.elsewhere(head)


def ask_elsewhere(tried: Tried[E]) -> None:
    """Asks the other side for what this one does not have. The connection to this one is closed."""
    assert tried.route
    tried.app = None
    tried.missing = True
    _cross(tried, tried.route)


def lacks_too(head: ReplyHead) -> bool:
    """Whether the other side does not have the file either. Visitors of one side see no page of the other one."""
    return head.status >= HTTPStatus.BAD_REQUEST or head.is_page


def _cross(tried: Tried[E], route: Route[ConnectionOf[E]]) -> None:
    tried.route = None
    tried.waits_no_longer(route, in_vain=False)
    tried.turned = tried.repeats = tried.held = True
    tried.client.shared.router.move(tried, route)


def _repeatable(tried: Tried[E]) -> bool:
    """Whether it may be sent once more, though an app has got it."""
    return tried.app is not None and tried.app.silent and tried.head.repeatable and not tried.repeats
