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

BLOCK = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)*+\r\n")
"""Fields with the empty line that ends them. No folding, no space before a colon, no bare CR, LF or NUL."""

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
    """What was made of the latest inputs: most messages have a head that came just before, byte for byte.

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


@lru_cache
def _members(value: bytes) -> frozenset[bytes]:
    return frozenset(member for item in value.split(b",") if (member := item.strip().lower()))


class Fields:
    """The fields of one head, sorted into what goes on and what a proxy must understand.

    `values` has those of the latter by their name in lower case, in their order.
    """

    def __init__(self, block: bytes, special: frozenset[bytes], start_line: bytes) -> None:
        """`special`: names in lower case. `start_line` tells the parser what to expect. Raises Refusal."""
        if not BLOCK.fullmatch(block):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed header field")
        if block.count(b"\n") - 1 > MOST_FIELDS:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MOST_FIELDS} header fields")
        self._special = special
        self.values: dict[bytes, list[bytes]] = {}
        self._lines: list[bytes] = []
        parser = httptools.HttpResponseParser if start_line.startswith(b"HTTP/") else httptools.HttpRequestParser
        try:
            parser(self).feed_data(start_line + block)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"malformed head: {error}") from None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        lower = name.lower()
        if b"_" in lower and lower.replace(b"_", b"-") in self._special:
            # Apps behind CGI or WSGI can't tell it from the real one, which they must be able to trust.
            return
        value = value.rstrip(b" \t")
        if lower in self._special:
            self.values.setdefault(lower, []).append(value)
            if lower in HOP_BY_HOP:
                return
        self._lines.append(b"%b: %b\r\n" % (name, value))

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
        if not named and dropped.isdisjoint(self.values):
            return b"".join(self._lines)
        dropped |= named
        return b"".join([line for line in self._lines if line.partition(b":")[0].lower() not in dropped])

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
    """Raises Refusal."""
    if not BLOCK.fullmatch(line + b"\r\n"):
        raise Refusal(HTTPStatus.BAD_REQUEST, "malformed trailer")
    if line.partition(b":")[0].lower().replace(b"_", b"-") in FRAMING | HOP_BY_HOP | FORWARDED:
        raise Refusal(HTTPStatus.BAD_REQUEST, "a trailer that would change how the message is understood")
