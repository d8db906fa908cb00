"""A share: each visitor has a number from 0 to 9999, and gets the version beside the live one if it is below the share.

A cookie keeps the number, on both sides, so a larger share moves visitors only towards that version.
"""

import ipaddress
from collections import OrderedDict
from functools import lru_cache
from http import HTTPStatus
from random import random
from time import monotonic
from typing import TypeVar

import msgspec

from slot_machine.proxy.heads.reply import Change, ReplyHead
from slot_machine.proxy.heads.visit import NUMBERS, Visit, number_of, pin_name
from slot_machine.proxy.rule import EndCookie

KEPT_S = 30 * 86_400
"""As long as the longest `hold_timeout_ms`, so that a visitor keeps the number until the share ends."""
RECENT_S = 10.0
MOST_RECENT = 2000
MOST_BARE = 1000
MOST_OFFERED = 2000

FINAL, FAILED, NOT_MODIFIED = 200, 400, 304
"""Statuses as numbers: to look one up in HTTPStatus takes as long as all else here."""

K = TypeVar("K")
V = TypeVar("V")

Client = int
"""The hash of an address and a User-Agent, which may be long."""


class Visitors:
    """What a worker knows of visitors who have no number in a cookie."""

    def __init__(self) -> None:
        self._share_id = ""
        self._recent: OrderedDict[Client, tuple[int, float]] = OrderedDict()
        """The number that a client's latest page was given, and until when it counts for what the page consists of."""
        self._bare: OrderedDict[int, None] = OrderedDict()
        """The hashes of paths of pages that shared caches may keep: they carry no cookie."""
        self._offered: OrderedDict[Client, None] = OrderedDict()
        """They have been given the number of their address. It stays that, with the cookie and without."""

    def number(self, visit: Visit, address: str) -> tuple[int, bool]:
        """For a request that has none; and whether its reply is to carry it.

        A page's is drawn, unless its visitor would have another one on each page, or had one on the page before.
        """
        share_id = visit.beside.share_id
        if share_id != self._share_id:
            self._share_id = share_id
            for known in (self._recent, self._bare, self._offered):
                known.clear()
        client, page = hash((address, visit.agent)), visit.page
        if page and not (visit.by_address or (self._bare and self._goes_by_address(visit))):
            number, offer = int(random() * NUMBERS), True
        elif not page and client in self._recent and monotonic() < self._recent[client][1]:
            return self._recent[client][0], visit.takes_pin
        else:
            number = number_of(share_id, network(address))
            offer = visit.takes_pin and (page != b"" or client not in self._offered)
            if offer:
                _remember(self._offered, client, None, MOST_OFFERED)
        if page:
            _remember(self._recent, client, (number, monotonic() + RECENT_S), MOST_RECENT)
        return number, offer

    def _goes_by_address(self, visit: Visit) -> bool:
        return hash(visit.page) in self._bare or hash(visit.linked_from) in self._bare

    def carries(self, page: bytes, cookie: bool) -> None:
        """Whether the page at this path could carry the cookie."""
        if not cookie:
            _remember(self._bare, hash(page), None, MOST_BARE)
        elif self._bare:
            self._bare.pop(hash(page), None)


class Missing:
    """A file whose name bears a digest may be there on the other side."""

    def change(self, _: ReplyHead) -> Change | None:
        return None

    def elsewhere(self, head: ReplyHead) -> bool:
        return head.status == HTTPStatus.NOT_FOUND


class Pin(msgspec.Struct, gc=False):
    """Gives the visitor's browser the number, unless it would be given to others as well."""

    number: int
    visit: Visit
    visitors: Visitors
    port: int
    secure: bool

    def change(self, head: ReplyHead) -> Change | None:
        if head.status < FINAL:
            return None
        for_one = head.for_one
        if for_one is False or self.visitors._bare:
            page, status = self.visit.page, head.status
            if page and status < FAILED and status != NOT_MODIFIED:
                self.visitors.carries(page, for_one is not False)
        if for_one is False:
            return None
        form = _pin_form(self.port, self.visit.beside.share_id, self.secure)
        return Change(form % (self.number, for_one))

    def elsewhere(self, head: ReplyHead) -> bool:
        return self.visit.digested and MISSING.elsewhere(head)


MISSING = Missing()


def unpin(port: int, *, secure: bool) -> EndCookie:
    """The rule for a reply to a browser that has the cookie of a share that is over."""
    return EndCookie(set_cookie(port, "", 0, secure=secure))


def set_cookie(port: int, value: str, max_age_s: int, *, secure: bool) -> bytes:
    only = b"; Secure" if secure else b""
    form = b"Set-Cookie: %b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b\r\n"
    return form % (pin_name(port), value.encode(), max_age_s, only)


@lru_cache(16)
def _pin_form(port: int, share_id: str, secure: bool) -> bytes:
    """The lines that give a visitor a number: with a place for that, and one for more lines."""
    return set_cookie(port, f"{share_id.replace('%', '%%')}.%d", KEPT_S, secure=secure) + b"%b"


@lru_cache(4096)
def network(address: str) -> str:
    """Of a visitor: a provider gives one a whole /64 of IPv6 (RFC 6177)."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))


def _remember(known: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """The oldest one is forgotten if there are more."""
    before = len(known)
    known[key] = value
    if len(known) == before:
        known.move_to_end(key)
    elif before == most:
        known.popitem(False)
