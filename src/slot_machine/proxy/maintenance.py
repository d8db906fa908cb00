"""Under maintenance, requests are answered with a page; only those for the app's health reach the app.

While there is no maintenance, nothing here is called.
"""

import logging
from http import HTTPStatus

from slot_machine.core.upstream import INTERNAL, PREVIEW
from slot_machine.proxy import pages
from slot_machine.proxy.exchange import Connection, Exchange
from slot_machine.proxy.routing import Router
from slot_machine.proxy.wire import Maintenance

TEXT = "text/plain; charset=utf-8"

log = logging.getLogger(__name__)


class Barrier:
    """Stands before `router`."""

    def __init__(self, router: Router[Connection], maintenance: Maintenance) -> None:
        self._router = router
        self._kind, self._body = _page(maintenance)

    def claim(self, exchange: Exchange) -> None:
        """As `Router.claim`."""
        if exchange.listener in (INTERNAL, PREVIEW) or self._asks_for_health(exchange):
            self._router.claim(exchange)
        else:
            exchange.answer(HTTPStatus.SERVICE_UNAVAILABLE, self._reply)

    def _asks_for_health(self, exchange: Exchange) -> bool:
        upstream = self._router.upstream
        path = upstream.health_path.partition("?")[0].encode() if upstream else b""
        return path != b"" and exchange.head.target.partition(b"?")[0] == path

    def _reply(self, exchange: Exchange) -> bytes:
        return pages.maintenance(
            self._kind, self._body, connection=exchange.connection_field, head_only=exchange.head_only
        )


def _page(maintenance: Maintenance) -> tuple[str, bytes]:
    """The kind of its contents, and these."""
    if maintenance.page:
        try:
            with open(maintenance.page, "rb") as file:
                return maintenance.kind, file.read()
        except OSError as error:
            log.error("cannot read the page for maintenance, so the message is sent: %s", error)
    return TEXT, f"{maintenance.message}\n".encode()
