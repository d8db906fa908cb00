"""Heads of the app's replies: what is refused, and what is passed on to the client."""

import re
from http import HTTPStatus
from typing import Literal

import msgspec

from slot_machine.proxy.heads.caching import TARGETED_NAMES, Keeping, keeping
from slot_machine.proxy.heads.fields import FRAMING, HOP_BY_HOP, Cache, Lines, ProtocolError, Values

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\r\n")
LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*:[\t -~\x80-\xff]*")
"""Whitespace before the colon is accepted, but not passed on (RFC 9112 section 5.1)."""

BEGINNING = b"HTTP/1."
KEEP_ALIVE_TIMEOUT = re.compile(rb"(?i)\btimeout=([0-9]{1,6})\b")
PAGE = re.compile(rb"(?im)^content-type: *(?:text/html|application/xhtml)")
SHORT_BYTES = 16_384
BODYLESS = frozenset((204, 304))
"""Replies without a body, whatever their fields say (RFC 9112 section 6.3)."""

MEANT = FRAMING - {b"host"} | {b"connection", b"content-type", b"keep-alive", b"upgrade"}

PRIVATE = b"Cache-Control: private\r\n"
FOR_CACHES = re.compile(rb"(?im)^(?:cache-control|%b|expires|pragma|x-accel-expires):[^\r\n]*\r\n" % TARGETED_NAMES)
"""Lines that tell caches what they may keep, also by the fields that stand above Cache-Control (RFC 9213; nginx)."""


class Change(msgspec.Struct, gc=False):
    """What differs in the client's head. `added`: whole lines. `private`: the app's `FOR_CACHES` are not passed on."""

    added: bytes
    private: bool = False

    def of(self, lines: bytes) -> bytes:
        return (FOR_CACHES.sub(b"", lines) if self.private else lines) + self.added


def check_beginning(data: bytes) -> None:
    """Raises ProtocolError for bytes that can't become a head: the client would wait for its end in vain."""
    if not data.startswith(BEGINNING[: len(data)]) or (b"\n" in data and not STATUS_LINE.match(data)):
        raise _not_a_status_line()
    if data.count(b"\n") != data.count(b"\r\n"):
        raise ProtocolError(HTTPStatus.BAD_GATEWAY, "a line of its head ends without a CR")


class ReplyMeaning:
    """What a reply's fields mean to a proxy. `stopped`: fields that are not passed on because of Connection."""

    __slots__ = ("chunked", "close", "event_stream", "keep_alive", "keep_s", "length", "stopped", "upgrade")

    def __init__(self, meant: bytes) -> None:
        """Raises ProtocolError."""
        given = Values(meant)
        self.length = given.content_length()
        self.chunked = given.chunked()
        options = given.members(b"connection")
        self.close = b"close" in options
        self.keep_alive = b"keep-alive" in options
        promised = KEEP_ALIVE_TIMEOUT.search(b",".join(given.all(b"keep-alive")))
        self.keep_s = float(promised[1]) if promised else None
        self.event_stream = any(kind.lower().startswith(b"text/event-stream") for kind in given.all(b"content-type"))
        self.upgrade = b", ".join(given.all(b"upgrade"))
        self.stopped = given.named_by_connection


_lines = Lines(MEANT, HOP_BY_HOP, form=LINE)
TRAILERS = Lines(frozenset(), HOP_BY_HOP | FRAMING, form=LINE)
_meanings = Cache(ReplyMeaning)


class ReplyHead:
    """A reply's head up to and including its empty line. Raises ProtocolError.

    `length` is Content-Length in bytes, None without one. `keep_s`: for how long the app promises to keep the
    connection open, None if it does not say. `whole` is the size of head and body in bytes if the body is short, else
    0. `kept_alive` is the head for a client whose connection stays open.
    """

    __slots__ = (
        "_for_one",
        "_lines",
        "chunked",
        "close",
        "event_stream",
        "keep_s",
        "kept_alive",
        "length",
        "status",
        "upgrade",
        "whole",
    )

    def __init__(self, head: bytes) -> None:
        line = STATUS_LINE.match(head)
        if not line:
            raise _not_a_status_line()
        http_1_1 = line[1] == b"1"
        self.status = int(line[2])
        given = _lines.read(head[line.end() :])
        meaning = _meanings[given.meant]
        self.length = meaning.length
        if meaning.chunked and not http_1_1:
            raise ProtocolError(HTTPStatus.BAD_GATEWAY, "Transfer-Encoding in an HTTP/1.0 reply")
        self.chunked = meaning.chunked and self.status not in BODYLESS
        self.close = meaning.close or not (http_1_1 or meaning.keep_alive)
        self.keep_s = meaning.keep_s
        self.event_stream = meaning.event_stream
        self.upgrade = meaning.upgrade
        # RFC 9110 section 8.6: these must have no Content-Length.
        stopped = meaning.stopped | {b"content-length"} if self.status < 200 or self.status == 204 else meaning.stopped
        self._lines = b"HTTP/1.1 %b %b\r\n%b" % (line[2], line[3] or b"", given.passed(stopped))
        length = self.length or 0
        short = 200 <= self.status not in BODYLESS and 0 < length <= SHORT_BYTES
        self.whole = len(head) + length if short else 0
        self.kept_alive = self.for_client(chunked=self.chunked)
        self._for_one: bytes | Literal[False] | None = None

    @property
    def keeping(self) -> Keeping:
        return keeping(self._lines)

    @property
    def for_one(self) -> bytes | Literal[False]:
        """The lines that a reply to one visitor alone needs beside its own; False if shared caches are to have it."""
        if self._for_one is None:
            kept = self.keeping
            # A 304 would change what a cache has already.
            wanted = kept is Keeping.WANTED or (kept is Keeping.SILENT and self.status == HTTPStatus.NOT_MODIFIED)
            self._for_one = False if wanted else b"" if kept is Keeping.NEVER else PRIVATE
        return self._for_one

    @property
    def is_page(self) -> bool:
        return PAGE.search(self._lines) is not None

    def for_client(self, *, chunked: bool = False, connection: bytes = b"", change: Change | None = None) -> bytes:
        """`connection`: the value of the Connection field, empty for none."""
        return b"%b%b%b\r\n" % (
            self._lines if change is None else change.of(self._lines),
            b"Transfer-Encoding: chunked\r\n" if chunked else b"",
            b"Connection: %b\r\n" % connection if connection else b"",
        )

    def in_one_piece(self, body: bytes, change: Change) -> bytes:
        """A short reply, for a client whose connection stays open."""
        lines = change.of(self._lines) if change.private else self._lines + change.added
        return b"".join((lines, b"\r\n", body))

    def for_tunnel(self, change: Change | None = None) -> bytes:
        lines = self._lines if change is None else change.of(self._lines)
        return b"%bConnection: upgrade\r\nUpgrade: %b\r\n\r\n" % (lines, self.upgrade)


def _not_a_status_line() -> ProtocolError:
    return ProtocolError(HTTPStatus.BAD_GATEWAY, "its status line is not HTTP/1.1's")


known = Cache(ReplyHead)
"""Parsed heads by their bytes."""
