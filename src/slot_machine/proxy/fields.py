"""The header fields of a message: which are well-formed, which mean something to a proxy, and which stop here."""

import re
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import TypeVar

import httptools

from slot_machine.proxy.forwarded import FORWARDED

T = TypeVar("T")

HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"))
"""RFC 9110 section 7.6.1. They concern one connection, so each side gets its own."""

FRAMING = frozenset((b"content-length", b"host", b"transfer-encoding"))
"""What Connection can't declare to be hop-by-hop, and what no trailer may say (RFC 9110 section 6.5.1)."""

OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))
"""Members of Connection that name no field, or one that is hop-by-hop in any case."""

SPECIAL = FRAMING | HOP_BY_HOP | FORWARDED | {b"accept", b"content-type", b"expect", b"http2-settings"}
"""What a proxy must understand of a head."""

LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
"""No folding, no space before the colon, no bare CR, LF or NUL (RFC 9112 section 5)."""

MOST_FIELDS = 200
MOST_HEAD_BYTES = 65_536
MOST_REMEMBERED = 1024
MOST_REMEMBERED_BYTES = 4096


class Refusal(Exception):
    """A message that must not go on, with the status that tells a client so."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Memory(dict[bytes, T]):
    """What was made of the latest inputs: most heads, and nearly all of their lines, came just before, byte for byte.

    `make` must depend on its input alone.
    """

    def __init__(self, make: Callable[[bytes], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: bytes) -> T:
        made = self._make(key)
        if len(key) <= MOST_REMEMBERED_BYTES:
            if len(self) >= MOST_REMEMBERED:
                self.clear()
            self[key] = made
        return made


class Field:
    """One line of a head. `line` is how it goes on; `special`: a proxy must know it; `stops`: it goes no further."""

    __slots__ = ("line", "name", "special", "stops", "value")

    def __init__(self, line: bytes) -> None:
        """`line` without its CRLF. Raises Refusal."""
        if not LINE.fullmatch(line):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed header field")
        found: list[tuple[bytes, bytes]] = []
        try:
            httptools.HttpRequestParser(_Collector(found)).feed_data(b"GET / HTTP/1.1\r\n%b\r\n\r\n" % line)
        except httptools.HttpParserError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"malformed header field: {error}") from None
        ((name, value),) = found
        self.name = name.lower()
        self.value = value.rstrip(b" \t")
        self.special = self.name in SPECIAL
        # Apps behind CGI or WSGI can't tell X_Forwarded_For from the real one, which they must be able to trust.
        self.stops = self.name in HOP_BY_HOP or (not self.special and self.name.replace(b"_", b"-") in SPECIAL)
        self.line = b"%b: %b\r\n" % (name, self.value)


class _Collector:
    def __init__(self, found: list[tuple[bytes, bytes]]) -> None:
        self._found = found

    def on_header(self, name: bytes, value: bytes) -> None:
        self._found.append((name, value))


_known = Memory(Field)


@lru_cache
def _members(value: bytes) -> frozenset[bytes]:
    return frozenset(member for item in value.split(b",") if (member := item.strip().lower()))


class Fields:
    """The fields of one head, sorted into what goes on and what a proxy must understand.

    `values` has those of the latter by their name in lower case, in their order.
    """

    __slots__ = ("_fields", "values")

    def __init__(self, block: bytes) -> None:
        """`block`: lines with the empty one that ends them. Raises Refusal."""
        lines = block.split(b"\r\n")
        if len(lines) - 2 > MOST_FIELDS:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MOST_FIELDS} header fields")
        self._fields = [_known[line] for line in lines[:-2]]
        self.values: dict[bytes, list[bytes]] = {}
        for field in self._fields:
            if field.special:
                self.values.setdefault(field.name, []).append(field.value)

    @property
    def connection_options(self) -> frozenset[bytes]:
        return self.members(b"connection")

    def members(self, name: bytes) -> frozenset[bytes]:
        """Of a special field that is a list, in lower case."""
        given = self.values.get(name)
        return _members(b",".join(given)) if given else frozenset()

    def passed(self, dropped: frozenset[bytes] = frozenset()) -> bytes:
        """The lines that go on: without the hop-by-hop ones, those that Connection names, and `dropped`."""
        named = self.connection_options - FRAMING - OPTIONS
        if named or not dropped.isdisjoint(self.values):
            dropped |= named
            return b"".join([field.line for field in self._fields if not field.stops and field.name not in dropped])
        return b"".join([field.line for field in self._fields if not field.stops])

    def content_length(self) -> int | None:
        """Raises Refusal for more than one, and for anything but digits (RFC 9112 section 6.3)."""
        lengths = self.values.get(b"content-length")
        if not lengths:
            return None
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed Content-Length")
        return int(lengths[0])

    def chunked(self) -> bool:
        """Raises Refusal for every other transfer coding, and next to a Content-Length (RFC 9112 section 6.1)."""
        codings = self.values.get(b"transfer-encoding")
        if not codings:
            return False
        if b"content-length" in self.values:
            raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length together with Transfer-Encoding")
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "the only transfer coding here is chunked, once")
        return True


def check_trailer(line: bytes) -> None:
    """`line` with its CRLF. Raises Refusal."""
    field = _known[line.removesuffix(b"\r\n")]
    if field.stops or field.name in FRAMING | FORWARDED:
        raise Refusal(HTTPStatus.BAD_REQUEST, "a trailer that would change how the message is understood")
