"""A share: each visitor has a number from 0 to 9999, and gets the version beside the live one if it is below the share.

A cookie keeps the number, on both sides, so a larger share moves visitors only towards that version.
"""

import ipaddress
from functools import lru_cache
from http import HTTPStatus
from random import randrange
from time import monotonic
from typing import TypeVar

from slot_machine.proxy.heads.caching import Keeping
from slot_machine.proxy.heads.forwarded import Sender
from slot_machine.proxy.heads.reply import Change, ReplyHead
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.heads.visit import NUMBERS, number_of, pin_name

KEPT_S = 30 * 86_400
"""As long as the longest `hold_timeout_ms`, so that a visitor keeps the number until the share ends."""
RECENT_S = 10.0
MOST_RECENT = 2000
MOST_BARE = 1000

PAGES = frozenset((b"", b"document", b"empty", b"frame", b"iframe"))
"""Values of Sec-Fetch-Dest: a page, or what a script asks for, but no part of a page."""
PRIVATE = b"Cache-Control: private\r\n"
SAFE = (b"GET", b"HEAD")

K = TypeVar("K")
V = TypeVar("V")


class Visitors:
    """What a worker knows of visitors who have no number in a cookie."""

    def __init__(self) -> None:
        self._share_id = ""
        self._recent: dict[tuple[str, bytes], tuple[int, float]] = {}
        """The number that a client's latest page was given, and until when it counts for what the page consists of."""
        self._bare: dict[bytes, None] = {}
        """Paths of pages that shared caches may keep: they carry no cookie."""

    def number(self, head: RequestHead, sender: Sender, share_id: str) -> int:
        """For a request that has none. A page's is drawn, unless its visitor would have another one on each page."""
        if share_id != self._share_id:
            self._share_id = share_id
            self._recent.clear()
            self._bare.clear()
        address, now_s = head.client(sender), monotonic()
        client = address, head.value(b"user-agent")
        if not _navigates(head):
            number, until_s = self._recent.get(client, (0, 0.0))
            return number if now_s < until_s else number_of(share_id, network(address))
        if path_of(head) in self._bare or _refuses_cookies(head):
            number = number_of(share_id, network(address))
        else:
            number = randrange(NUMBERS)
        _remember(self._recent, client, (number, now_s + RECENT_S), MOST_RECENT)
        return number

    def carries(self, path: bytes, *, cookie: bool) -> None:
        """Whether the page at this path could carry the cookie."""
        if cookie:
            self._bare.pop(path, None)
        else:
            _remember(self._bare, path, None, MOST_BARE)


class Missing:
    """A file whose name bears a digest may be there on the other side."""

    def change(self, _: ReplyHead) -> Change | None:
        return None

    def elsewhere(self, head: ReplyHead) -> bool:
        return head.status == HTTPStatus.NOT_FOUND


class Pin:
    """Gives the visitor's browser the number, unless it would be given to others as well."""

    def __init__(
        self, number: int, share_id: str, head: RequestHead, sender: Sender, visitors: Visitors, port: int
    ) -> None:
        self.number = number
        self.share_id = share_id
        self._page = path_of(head) if _navigates(head) else b""
        self._line = set_cookie(port, f"{share_id}.{number}", KEPT_S, secure=head.is_https(sender))
        self._visitors = visitors

    def change(self, head: ReplyHead) -> Change | None:
        if head.status < HTTPStatus.OK:
            return None
        change = private_with(self._line, head)
        if self._page and head.status < HTTPStatus.BAD_REQUEST and head.status != HTTPStatus.NOT_MODIFIED:
            self._visitors.carries(self._page, cookie=change is not None)
        return change

    def elsewhere(self, _: ReplyHead) -> bool:
        return False


class Unpin:
    """Ends the cookie of a share that is over."""

    def __init__(self, port: int, *, secure: bool) -> None:
        self._line = set_cookie(port, "", 0, secure=secure)

    def change(self, head: ReplyHead) -> Change | None:
        return private_with(self._line, head) if head.status >= HTTPStatus.OK else None

    def elsewhere(self, _: ReplyHead) -> bool:
        return False


MISSING = Missing()


def may_pin(head: RequestHead) -> bool:
    """Whether its reply may give its visitor a number: one that has another one would have sent that.

    A request that another site's form sends has no cookie (SameSite=Lax). A part of a page might come before the page.
    """
    if head.method not in SAFE and head.value(b"sec-fetch-site") not in (b"same-origin", b"none"):
        return False
    return head.value(b"sec-fetch-dest") in PAGES


def private_with(line: bytes, reply: ReplyHead) -> Change | None:
    """The reply with a Set-Cookie, and kept from shared caches; None if they are to have it."""
    kept = reply.keeping
    # A 304 would change what a cache has already.
    if kept is Keeping.WANTED or (kept is Keeping.SILENT and reply.status == HTTPStatus.NOT_MODIFIED):
        return None
    return Change(line if kept is Keeping.NEVER else line + PRIVATE)


def set_cookie(port: int, value: str, max_age_s: int, *, secure: bool) -> bytes:
    only = b"; Secure" if secure else b""
    form = b"Set-Cookie: %b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b\r\n"
    return form % (pin_name(port), value.encode(), max_age_s, only)


def path_of(head: RequestHead) -> bytes:
    return head.target.partition(b"?")[0]


@lru_cache(4096)
def network(address: str) -> str:
    """Of a visitor: a provider gives one a whole /64 of IPv6 (RFC 6177)."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))


def _navigates(head: RequestHead) -> bool:
    """Whether a browser asks for a page to show. Older ones, and all of them without TLS, send no Sec-Fetch-Mode."""
    if head.method != b"GET":
        return False
    mode = head.value(b"sec-fetch-mode")
    return mode == b"navigate" if mode else b"text/html" in head.meaning.accept.lower()


def _refuses_cookies(head: RequestHead) -> bool:
    """Whether it follows a link of this site without any cookie."""
    if head.value(b"cookie"):
        return False
    site, referer = head.value(b"sec-fetch-site"), head.value(b"referer")
    if site:
        return site == b"same-origin"
    return referer.partition(b"//")[2].partition(b"/")[0] == head.meaning.host != b""


def _remember(known: dict[K, V], key: K, value: V, most: int) -> None:
    """The oldest one is forgotten if there are more."""
    known.pop(key, None)
    known[key] = value
    if len(known) > most:
        del known[next(iter(known))]
