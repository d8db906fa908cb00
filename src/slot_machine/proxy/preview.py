"""Preview: a browser or a script that has the token of the version beside the live one gets that version."""

from _operator import _compare_digest as compare_digest  # that of hmac, without loading OpenSSL
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

from slot_machine.core.upstream import PREVIEW, Beside
from slot_machine.proxy import pages
from slot_machine.proxy.heads.forwarded import Sender
from slot_machine.proxy.heads.reply import Change, ReplyHead
from slot_machine.proxy.heads.request import RequestHead
from slot_machine.proxy.heads.tokens import NAME, Tokens
from slot_machine.proxy.rule import EndCookie

OFF = b"off"
ENDED = "this preview has ended: no version that is held has this token"
NONE_HELD = "no version is held here right now"

PRIVATE = Change(b"Cache-Control: private, no-store\r\nX-Robots-Tag: noindex\r\n", private=True)


class Unlisted:
    """The rule for replies of a version that is not live: neither caches nor search engines keep them.

    `digested`: the request is for a file that may be there on the other side, as one of a page that was open before.
    """

    def __init__(self, *, digested: bool = False) -> None:
        self._digested = digested

    def change(self, _: ReplyHead) -> Change:
        return PRIVATE

    def elsewhere(self, head: ReplyHead) -> bool:
        return self._digested and head.status == HTTPStatus.NOT_FOUND


UNLISTED = Unlisted()
UNLISTED_FILE = Unlisted(digested=True)


class Page(NamedTuple):
    """A reply in place of the app's. `make` gets the value of Connection, and whether only the head is wanted."""

    status: HTTPStatus
    make: Callable[[bytes, bool], bytes]


def goes_there(listener: str, head: RequestHead, beside: Beside) -> bool:
    """Whether a request goes beside because of a token, or of the port at which it came."""
    if listener == PREVIEW:
        return beside.token != ""
    return head.tokens is not None and bears(head.tokens, beside)


def bears(tokens: Tokens, beside: Beside | None) -> bool:
    """Compares in constant time. Tokens of the request itself stand above its cookies."""
    if not beside or not beside.token:
        return False
    token = beside.token.encode()
    given = [value for value in (tokens.link, tokens.field) if value is not None]
    if given:
        return all(compare_digest(value, token) for value in given)
    return any(compare_digest(value, token) for values in tokens.cookies.values() for value in values)


def lost(tokens: Tokens | None, beside: Beside | None) -> bool:
    """Whether a request asks for a version that is not there. It must not get another one unknowingly."""
    return tokens is not None and tokens.explicit and not bears(tokens, beside)


def expired(head: RequestHead, sender: Sender, port: int) -> EndCookie | None:
    """The rule for a reply of the live version to a browser whose preview has ended; None if it has no cookie of this
    app."""
    if head.tokens is None or cookie_name(port) not in head.tokens.cookies:
        return None
    return EndCookie(b"Set-Cookie: %b\r\n" % set_cookie(port, b"", secure=head.is_https(sender)))


def page(head: RequestHead, sender: Sender, beside: Beside | None, port: int) -> Page | None:
    """The reply to a link, and to a token that is not valid; None if the app is to reply.

    A link sets a cookie, and leads to the same address without the token. A page of the live version that the browser
    has kept must not be shown there.
    """
    tokens = head.tokens
    if tokens is None:
        return None
    if lost(tokens, beside):
        return Page(HTTPStatus.NOT_FOUND, lambda connection, head_only: ended(head, connection, head_only=head_only))
    if tokens.link is None or head.method not in (b"GET", b"HEAD") or head.upgrade:
        return None
    token = b"" if tokens.link == OFF else tokens.link
    cookie = set_cookie(port, token, secure=head.is_https(sender))
    location = same_site(head.target)

    def see_other(connection: bytes, _: bool) -> bytes:
        return pages.see_other(location, cookie, clears_cache=token != b"", connection=connection)

    return Page(HTTPStatus.SEE_OTHER, see_other)


def ended(head: RequestHead, connection: bytes, *, head_only: bool) -> bytes:
    accept = head.meaning.accept
    return pages.reply(HTTPStatus.NOT_FOUND, ENDED, accept, connection=connection, head_only=head_only)


def cookie_name(port: int) -> bytes:
    """Cookies of one host go to all of its ports, where other apps may have previews, too."""
    return b"%b-%d" % (NAME, port)


def set_cookie(port: int, token: bytes, *, secure: bool) -> bytes:
    """For as long as the browser runs; an empty token ends it."""
    over = b"" if token else b"; Max-Age=0"
    return b"%b=%b%b; Path=/; HttpOnly; SameSite=Lax%b" % (cookie_name(port), token, over, b"; Secure" * secure)


def same_site(target: bytes) -> bytes:
    """As a Location that no browser takes for one on another host: two slashes, in any form, would begin a host."""
    return b"/." + target if target[1:2] in (b"/", b"\\") else target
