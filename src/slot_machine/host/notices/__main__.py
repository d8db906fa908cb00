"""`python -m slot_machine.host.notices` delivers one notice, in a process of its own.

So neither a slow service nor a library can hold up the daemon, which does without TLS.
"""

import base64
import http.client
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import NoReturn

import msgspec

from slot_machine.host.notices.order import CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S, WEB, End, Order

NOW_FULL = 429
"""Too Many Requests (RFC 6585, section 4)."""


class Over(Exception):
    def __init__(self, end: End, why: str) -> None:
        super().__init__(why)
        self.end = end


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET."""

    def redirect_request(self, *_: object) -> None:
        return None


def main() -> NoReturn:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        (_post if order.address.partition(":")[0].lower() in WEB else _by_apprise)(order)
    except Over as over:
        print(over, flush=True)
        sys.exit(over.end)
    sys.exit(End.DELIVERED)


def _post(order: Order) -> None:
    """Raises Over."""
    try:
        address, authorization = _credentials(order.address)
        fields = {"Content-Type": "application/json", "User-Agent": "slot-machine"} | authorization
        request = urllib.request.Request(address, order.body.encode(), fields)
        with urllib.request.build_opener(NoRedirects).open(request, timeout=REPLY_TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        error.close()
        again = error.code >= http.client.INTERNAL_SERVER_ERROR or error.code == NOW_FULL
        raise Over(End.NOT_SENT if again else End.REFUSED, f"it answered {error.code}") from None
    except urllib.error.URLError as error:
        reason = error.reason
        words = (reason.strerror or type(reason).__name__) if isinstance(reason, OSError) else str(reason)
        raise Over(End.NOT_SENT, f"cannot connect: {words}") from None
    except (ValueError, http.client.InvalidURL):
        raise Over(End.REFUSED, "its address is not a URL") from None
    except (OSError, http.client.HTTPException) as error:
        raise Over(End.UNKNOWN, f"it gave no answer ({type(error).__name__})") from None


def _credentials(address: str) -> tuple[str, dict[str, str]]:
    """Makes a field of the user and the password in an address: urllib would ask DNS for them. Raises ValueError."""
    parts = urllib.parse.urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return address, {}
    given = base64.b64encode(urllib.parse.unquote_to_bytes(user)).decode()
    return parts._replace(netloc=host).geturl(), {"Authorization": f"Basic {given}"}


def _by_apprise(order: Order) -> None:
    """Raises Over. Apprise does not say why it failed, but only a reply that stays away takes so long."""
    try:
        import apprise
    except ImportError:
        raise Over(End.REFUSED, "Apprise is not installed: install slot-machine[notify]") from None
    service = apprise.Apprise.instantiate(order.address, suppress_exceptions=True)
    if not service:
        raise Over(End.REFUSED, "Apprise can't use its address")
    service.socket_connect_timeout, service.socket_read_timeout = CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S
    began_s = time.monotonic()
    if service.notify(title=order.title, body=order.text):
        return
    if time.monotonic() - began_s >= REPLY_TIMEOUT_S:
        raise Over(End.UNKNOWN, "it gave no answer")
    raise Over(End.NOT_SENT, "the service did not take it")


if __name__ == "__main__":
    main()
