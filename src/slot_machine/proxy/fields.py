"""The header fields of a message: which are well-formed, which mean something to a proxy, and which stop here."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, TypeVar

from slot_machine.proxy.forwarded import FORWARDED

T = TypeVar("T")

HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"))
"""RFC 9110 section 7.6.1. They concern one connection, so each side gets its own."""

FRAMING = frozenset((b"content-length", b"host", b"transfer-encoding"))
"""What Connection can't declare to be hop-by-hop, and what no trailer may say (RFC 9110 section 6.5.1)."""

OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))
"""Members of Connection that name no field, or one that is hop-by-hop in any case."""

OURS = FRAMING | HOP_BY_HOP | FORWARDED | {b"accept", b"content-type", b"expect", b"http2-settings"}
"""What proxies and servers go by: no other name may pass for one of these."""

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


class Field(NamedTuple):
    """One line of a head. `line` is how it goes on, empty if it stops here.

    `known_as` is the same for all ways to write it if it has a meaning here, else empty.
    """

    name: bytes
    value: bytes
    line: bytes
    known_as: bytes


class Fields(NamedTuple):
    """The fields of one head, column by column. `meant` is what `Values` understands."""

    names: tuple[bytes, ...]
    values: tuple[bytes, ...]
    lines: tuple[bytes, ...]
    meant: bytes

    def passed(self, stopped: frozenset[bytes]) -> bytes:
        """The lines that go on; `stopped` are the names of more that don't."""
        if stopped:
            return b"".join([line for name, line in zip(self.names, self.lines, strict=True) if name not in stopped])
        return b"".join(self.lines)


NO_FIELDS = Fields((), (), (), b"")


class Lines:
    """What the latest lines of one kind of head came to: `meant` have a meaning here, `stopped` go no further."""

    def __init__(self, meant: frozenset[bytes], stopped: frozenset[bytes]) -> None:
        self._meant = meant
        self._stopped = stopped
        self.known = Memory(self._field)

    def read(self, block: bytes) -> Fields:
        """`block`: lines with the empty one that ends them. Raises Refusal."""
        if block == b"\r\n":
            return NO_FIELDS
        lines = block[:-4].split(b"\r\n")
        if len(lines) > MOST_FIELDS:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MOST_FIELDS} header fields")
        names, values, passed, known_as = zip(*map(self.known.__getitem__, lines), strict=True)
        return Fields(names, values, passed, b"".join(known_as))

    def _field(self, line: bytes) -> Field:
        if not LINE.fullmatch(line):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed header field")
        given, _, value = line.partition(b":")
        name, value = given.lower(), value.strip(b" \t")
        # Apps behind CGI or WSGI can't tell X_Forwarded_For from the real one, which they must be able to trust.
        disguised = b"_" in name and name.replace(b"_", b"-") in OURS
        passed = b"" if disguised or name in self._stopped else b"%b: %b\r\n" % (given, value)
        return Field(name, value, passed, b"%b:%b\n" % (name, value) if name in self._meant else b"")


def list_members(value: bytes) -> frozenset[bytes]:
    """In lower case."""
    return frozenset(member for item in value.lower().split(b",") if (member := item.strip()))


class Values:
    """What `Fields.meant` says, by the names in lower case, each with its values in their order."""

    __slots__ = ("_values",)

    def __init__(self, meant: bytes) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        for line in meant.splitlines():
            name, _, value = line.partition(b":")
            self._values.setdefault(name, []).append(value)

    def all(self, name: bytes) -> list[bytes]:
        return self._values.get(name, [])

    def members(self, name: bytes) -> frozenset[bytes]:
        """Of a field that is a list, in lower case."""
        return list_members(b",".join(self.all(name)))

    @property
    def named_by_connection(self) -> frozenset[bytes]:
        """What stops here because Connection says so."""
        return self.members(b"connection") - FRAMING - HOP_BY_HOP - OPTIONS

    def content_length(self) -> int | None:
        """Raises Refusal for more than one, and for anything but digits (RFC 9112 section 6.3)."""
        lengths = self.all(b"content-length")
        if not lengths:
            return None
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed Content-Length")
        return int(lengths[0])

    def chunked(self) -> bool:
        """Raises Refusal for every other transfer coding, and next to a Content-Length (RFC 9112 section 6.1)."""
        codings = [coding.lower() for coding in self.all(b"transfer-encoding")]
        if not codings:
            return False
        if self.all(b"content-length"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length together with Transfer-Encoding")
        if not codings[-1].endswith(b"chunked"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "a transfer coding that does not tell where the body ends")
        if codings != [b"chunked"]:
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "the only transfer coding here is chunked, once")
        return True


_trailers = Lines(meant=frozenset(), stopped=HOP_BY_HOP | FRAMING | FORWARDED)


def check_trailer(line: bytes) -> None:
    """`line` with its CRLF. Raises Refusal."""
    if not _trailers.known[line.removesuffix(b"\r\n")].line:
        raise Refusal(HTTPStatus.BAD_REQUEST, "a trailer that would change how the message is understood")
