"""What a request says of its visitor to the rules for the version beside the live one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Protocol

import msgspec

from slot_machine.core.digested import is_digested
from slot_machine.core.upstream import Beside
from slot_machine.proxy.heads.fields import Cache, Values
from slot_machine.proxy.heads.tokens import A_CONDITION, A_COOKIE, A_PIN, PIN, decoded

NUMBERS = 10_000
UNDECIDED = -1

COOKIE = b"cookie: "
COOKIES_AS_WRITTEN = (b"Cookie: ", COOKIE)
VALUE = re.compile(rb'"?([^;\r"]*)')
NUMBER = re.compile(rb"([0-9]{1,4})(?=[; \r])")
DOT, SLASH = b"./"
AGENT, HOST, REFERER = b"\r\nUser-Agent: ", b"\r\nHost: ", b"\r\nReferer: "

MOST_KNOWN = 500
"""Characters of a text whose number is kept: a longer one costs memory."""

FETCH_METADATA = frozenset((b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site"))
"""Older browsers, and all of them without TLS, send none of them."""
PAGES = frozenset((b"", b"document", b"empty", b"frame", b"iframe"))
"""Values of Sec-Fetch-Dest: a page, or what a script asks for, but no part of a page."""
FRAMES = frozenset((b"embed", b"frame", b"iframe", b"object"))
"""Those of a page inside of another one. On another site it keeps no cookie (SameSite=Lax)."""
SAFE = (b"GET", b"HEAD")
SAME_ORIGIN = b"same-origin"


@dataclass(slots=True)
class Manner:
    """How a browser says that it asks. `site` is Sec-Fetch-Site.

    `navigates`: for something to show. `no_part`: not for a part of a page. `ours`: no other site had a hand in it.
    """

    site: bytes
    navigates: bool
    no_part: bool
    ours: bool

    @classmethod
    def of(cls, given: Values) -> "Manner":
        dest, mode, site = (next(iter(given.all(b"sec-fetch-" + name)), b"") for name in (b"dest", b"mode", b"site"))
        accept = next(iter(given.all(b"accept")), b"")
        framed = dest in FRAMES
        navigates = mode == b"navigate" and not framed if mode else b"text/html" in accept.lower()
        return Manner(site, navigates, no_part=dest in PAGES, ours=site in (SAME_ORIGIN, b"none"))


class Asked(Protocol):
    """A request's head. `mentions`: see `tokens.mentioned`."""

    method: bytes
    target: bytes
    mentions: int


class Visit(msgspec.Struct, gc=False):
    """`number` is the visitor's, from 0 to 9999, as far as cookies tell, else UNDECIDED.

    `stale`: there is a cookie with a number of another share. `digested`: a file is asked for whose name bears a
    digest. The other ones are not known while there is a number. `agent` is the hash of User-Agent. `page` is the path
    if a browser asks for a page to show. `by_address`: its visitor may keep no cookie, as it follows a link of this
    site without any, or may get none, as it has the page already: a 304 carries none mostly. `takes_pin`: the reply may
    give its visitor a number, as one that has another one would have sent that. `inside`: it follows a link of this
    site. `lines` are the request's for the app.

    It is a Struct because each new head has one: that is made in a third of the time.
    """

    beside: Beside
    lines: bytes
    number: int
    digested: bool
    stale: bool = False
    agent: int = 0
    takes_pin: bool = False
    page: bytes = b""
    inside: bool = False
    by_address: bool = False

    @property
    def linked_from(self) -> bytes:
        """The path of the page of this site whose link it follows; empty if it follows none."""
        return _path_in(value_of(self.lines, REFERER)) if self.inside else b""


def visit_of(lines: bytes, asked: Asked, manner: Manner, beside: Beside, port: int) -> Visit:
    """`lines` are the request's for the app, `port` is the public one. A part of a page may come before the page."""
    method, pinned = asked.method, asked.mentions & A_PIN
    path = asked.target.partition(b"?")[0]
    digested = DOT in path and path.rfind(DOT) > path.rfind(SLASH) and method in SAFE and _digested[path]
    number = _told(lines, beside, port) if (pinned or beside.cookie) and beside.share else UNDECIDED
    if number != UNDECIDED:
        return Visit(beside, lines, number, digested)
    stale = pinned > 0 and next(cookies(lines, pin_name(port)), None) is not None
    agent = hash(value_of(lines, AGENT))
    # A form of another site comes without cookies (SameSite=Lax).
    takes_pin = manner.no_part and not digested and (manner.ours or method in SAFE)
    if not manner.navigates or method != b"GET":
        return Visit(beside, lines, number, digested, stale, agent, takes_pin)
    inside = manner.site == SAME_ORIGIN if manner.site else _is_inside(lines)
    by_address = asked.mentions & A_CONDITION > 0 or (inside and not asked.mentions & A_COOKIE)
    return Visit(beside, lines, number, digested, stale, agent, takes_pin, path, inside, by_address)


def pin_name(port: int) -> bytes:
    return b"%b%d" % (PIN, port)


def cookies(lines: bytes, name: bytes) -> Iterator[bytes]:
    """The values of the cookies of that name, the last one first."""
    for at in _after(lines, name + b"="):
        if value := VALUE.match(lines, at):
            yield value[1].rstrip()


def value_of(lines: bytes, beginning: bytes) -> bytes:
    """Of the first field that begins like this; empty without one. Most clients write names in this form."""
    _, given, rest = lines.partition(beginning)
    if given:
        return rest.partition(b"\r")[0]
    found = _in_any_form(beginning).search(lines)
    return found[1] if found else b""


def _told(lines: bytes, beside: Beside, port: int) -> int:
    """The number that the cookies tell, else UNDECIDED."""
    if beside.cookie and (value := next(cookies(lines, beside.cookie.encode()), b"")):
        named = beside.cookie_values and _is_among(value, beside.cookie_values)
        return 0 if named else number_of(beside.share_id, value.decode("latin-1"))
    return _pinned(lines, _beginning(port, beside.share_id))


def _is_among(value: bytes, values: tuple[str, ...]) -> bool:
    """As it is or percent-encoded, which most frameworks do with characters such as `@`."""
    return value.decode(errors="replace") in values or decoded(value).decode(errors="replace") in values


def number_of(share_id: str, text: str) -> int:
    """The same one in all workers, evenly spread, and another one in another share."""
    return (_known_number if len(text) <= MOST_KNOWN else _number)(share_id, text)


def _number(share_id: str, text: str) -> int:
    return Random(f"{share_id} {text}").randrange(NUMBERS)


_known_number = lru_cache(4096)(_number)


@lru_cache(16)
def _beginning(port: int, share_id: str) -> bytes:
    return b"%b=%b." % (pin_name(port), share_id.encode())


def _pinned(lines: bytes, beginning: bytes) -> int:
    """The number in a cookie that begins like this, else UNDECIDED."""
    at = lines.rfind(beginning, 0, len(lines))
    if at < 0:
        return UNDECIDED
    # Most have it once. To begin with the generator costs 0.3 us.
    begin = lines.rfind(b"\r\n", 0, at) + 2
    is_cookie = lines[begin : begin + len(COOKIE)] in COOKIES_AS_WRITTEN and lines[at - 1] in b" ;"
    if is_cookie and (number := NUMBER.match(lines, at + len(beginning))):
        return int(number[1])
    for at in _after(lines, beginning):
        if number := NUMBER.match(lines, at):
            return int(number[1])
    return UNDECIDED


def _after(lines: bytes, beginning: bytes) -> Iterator[int]:
    """The places behind the beginnings of cookies. The last one comes first: the cookies are in the last line mostly.

    A client may send that text thousands of times: where a line begins is looked up once, and other lines are skipped.
    """
    at = begin = len(lines)
    while (at := lines.rfind(beginning, 0, at)) >= 0:
        if at < begin:
            begin = lines.rfind(b"\r\n", 0, at) + 2
            if lines[begin : begin + len(COOKIE)].lower() != COOKIE:
                at = begin
                continue
        if lines[at - 1] in b" ;":
            yield at + len(beginning)


@lru_cache(16)
def _in_any_form(beginning: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?i)%b([^\r]*)" % re.escape(beginning))


def _path_in(url: bytes) -> bytes:
    """Without the query, as in `Visit.page`; empty if there is none."""
    _, slash, path = url.partition(b"//")[2].partition(b"?")[0].partition(b"/")
    return slash + path


def _is_inside(lines: bytes) -> bool:
    """Whether it was a link of this site, for a browser that sends no Sec-Fetch-Site."""
    host = value_of(lines, REFERER).partition(b"//")[2].partition(b"/")[0]
    return host != b"" and host == value_of(lines, HOST)


def _is_digested(path: bytes) -> bool:
    return is_digested(path.decode("latin-1").strip("/"))


_digested = Cache(_is_digested)
