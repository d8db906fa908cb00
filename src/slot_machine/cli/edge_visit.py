"""`edge check` asks, as a visitor, for the names that Cloudflare's proxy stands in front of."""

import http.client
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from slot_machine.edge import reach
from slot_machine.edge.wire import Reply

LIMIT_S = 10.0
OVER_HTTP = (
    'Cloudflare asks this server over HTTP: set its mode "Full (strict)"; with "Flexible", visitors are redirected'
    " without end or get an error"
)


class Page(NamedTuple):
    status: int
    location: str


def visited(reply: Reply, complaint: Callable[[str], str] | None = None) -> Reply:
    """With what is wrong in the details of the domains. Blocks."""
    ask = complaint or complaint_about
    apps = []
    for app in reply.apps:
        found = [(domain, domain.detail or ask(domain.domain)) for domain in app.domains]
        domains = tuple(msgspec.structs.replace(domain, detail=detail) for domain, detail in found)
        apps.append(msgspec.structs.replace(app, domains=domains))
    return msgspec.structs.replace(reply, apps=tuple(apps))


def fetched(name: str, context: ssl.SSLContext | None = None) -> Page:
    """Raises OSError, http.client.HTTPException."""
    trusting = context or ssl.create_default_context()
    connection = http.client.HTTPSConnection(name, timeout=LIMIT_S, context=trusting)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        reply = connection.getresponse()
        return Page(reply.status, reply.getheader("Location", ""))
    finally:
        connection.close()


def complaint_about(name: str, lookup: reach.Lookup = reach.addresses, fetch: Callable[[str], Page] = fetched) -> str:
    """Empty if nothing is wrong, or Cloudflare is not in front of the name."""
    try:
        if not any(map(reach.is_proxied, lookup(name))):
            return ""
        page = fetch(name)
    except (OSError, http.client.HTTPException) as error:
        return f"cannot visit https://{name}/: {error}"
    to_itself = page.location.rstrip("/") == f"https://{name}"
    return OVER_HTTP if to_itself or page.status == HTTPStatus.MISDIRECTED_REQUEST else ""
