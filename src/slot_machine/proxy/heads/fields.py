"""Header fields: which are well-formed, which mean something to a proxy, and which are not passed on."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, TypeVar

T = TypeVar("T")

HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"))
"""RFC 9110 section 7.6.1. They concern one connection, so the proxy sends its own on each side."""

FRAMING = frozenset((b"content-length", b"host", b"transfer-encoding"))
"""Fields that Connection can't make hop-by-hop, and that are refused in trailers (RFC 9110 section 6.5.1)."""

OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))
"""Members of Connection that are no field names, or name a field that is hop-by-hop anyway."""

LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")
"""No folding, no space before the colon, no bare CR, LF or NUL (RFC 9112 section 5)."""

MOST_FIELDS = 200
MOST_HEAD_BYTES = 65_536
MOST_CACHED = 1024
MOST_CACHED_BYTES = 4096
"""Of a key: longer ones are not cached."""


class ProtocolError(Exception):
    """A message that must not be passed on. `status` is the reply's to a client that sent it."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class Cache(dict[bytes, T]):
    """Results of `make` by its argument, on which alone they must depend. It is emptied when it is full.

    Parsed heads and lines are cached, because most requests repeat a previous one byte for byte. A hit costs less than
    half of one in `functools.lru_cache`, which also can't be asked without calling `make`.
    """

    def __init__(self, make: Callable[[bytes], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: bytes) -> T:
        made = self._make(key)
        if len(key) <= MOST_CACHED_BYTES:
            if len(self) >= MOST_CACHED:
                self.clear()
            self[key] = made
        return made


class Field(NamedTuple):
    """One line of a head. `line` is what is passed on of it, empty if nothing is.

    `known_as` is a canonical form of a field that means something to a proxy, else empty. `forwarding` is the line if
    the field tells how the message came here, else empty. `misnamed`: an app could take it for another field.
    """

    name: bytes
    line: bytes
    known_as: bytes
    forwarding: bytes
    misnamed: bool


class Fields(NamedTuple):
    """A head's fields. `meant` is the input of `Values`, `forwarding` has whole lines, `misnamed` counts fields."""

    names: tuple[bytes, ...]
    lines: tuple[bytes, ...]
    meant: bytes
    forwarding: bytes
    misnamed: int

    def passed(self, stopped: frozenset[bytes]) -> bytes:
        """The lines that are passed on, without the fields in `stopped`."""
        if stopped:
            return b"".join([line for name, line in zip(self.names, self.lines, strict=True) if name not in stopped])
        return b"".join(self.lines)


NO_FIELDS = Fields((), (), b"", b"", 0)


def no_name(_: bytes) -> bool:
    return False


class Lines:
    """Reads the lines of one kind of head, and caches each.

    Fields in `meant` mean something to a proxy. Fields in `stopped` are not passed on, nor are those whose names, in
    lower case, are `forwarding` or `misnamed`.
    """

    def __init__(
        self,
        meant: frozenset[bytes],
        stopped: frozenset[bytes],
        *,
        form: re.Pattern[bytes] = LINE,
        forwarding: Callable[[bytes], bool] = no_name,
        misnamed: Callable[[bytes], bool] = no_name,
    ) -> None:
        self._meant = meant
        self._stopped = stopped
        self._form = form
        self._forwarding = forwarding
        self._misnamed = misnamed
        self.known = Cache(self._field)

    def read(self, block: bytes) -> Fields:
        """`block`: the lines of a head, up to and including the empty one. Raises ProtocolError."""
        if block == b"\r\n":
            return NO_FIELDS
        lines = block[:-4].split(b"\r\n")
        if len(lines) > MOST_FIELDS:
            raise ProtocolError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MOST_FIELDS} header fields")
        names, passed, known_as, forwarding, misnamed = zip(*map(self.known.__getitem__, lines), strict=True)
        return Fields(names, passed, b"".join(known_as), b"".join(forwarding), sum(misnamed))

    def check_trailer(self, line: bytes) -> None:
        """Raises ProtocolError for a field that must not be passed on: a body is sent as it came."""
        if not self.known[line].line:
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "a trailer that would change how the message is understood")

    def _field(self, line: bytes) -> Field:
        if not self._form.fullmatch(line):
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "malformed header field")
        given, _, value = line.partition(b":")
        given, value = given.rstrip(b" \t"), value.strip(b" \t")
        name = given.lower()
        rewritten = b"%b: %b\r\n" % (given, value)
        forwarding, misnamed = self._forwarding(name), self._misnamed(name)
        return Field(
            name,
            line=b"" if forwarding or misnamed or name in self._stopped else rewritten,
            known_as=b"%b:%b\n" % (name, value) if name in self._meant else b"",
            forwarding=rewritten if forwarding else b"",
            misnamed=misnamed,
        )


def list_members(value: bytes) -> frozenset[bytes]:
    """The members of a comma-separated list, in lower case."""
    return frozenset(member for item in value.lower().split(b",") if (member := item.strip()))


class Values:
    """Parses `Fields.meant`: the values of each field in their order, by its name in lower case."""

    __slots__ = ("_values",)

    def __init__(self, meant: bytes) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        for line in meant.splitlines():
            name, _, value = line.partition(b":")
            self._values.setdefault(name, []).append(value)

    def all(self, name: bytes) -> list[bytes]:
        return self._values.get(name, [])

    def members(self, name: bytes) -> frozenset[bytes]:
        """The members of a field that is a list, in lower case."""
        return list_members(b",".join(self.all(name)))

    @property
    def named_by_connection(self) -> frozenset[bytes]:
        """Names of fields that Connection makes hop-by-hop."""
        return self.members(b"connection") - FRAMING - HOP_BY_HOP - OPTIONS

    def content_length(self) -> int | None:
        """Raises ProtocolError for more than one length, or one that is not digits (RFC 9112 section 6.3)."""
        lengths = self.all(b"content-length")
        if not lengths:
            return None
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "malformed Content-Length")
        return int(lengths[0])

    def chunked(self) -> bool:
        """Raises ProtocolError for any other transfer coding, or one beside Content-Length (RFC 9112 section 6.1)."""
        codings = [coding.lower() for coding in self.all(b"transfer-encoding")]
        if not codings:
            return False
        if self.all(b"content-length"):
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "Content-Length together with Transfer-Encoding")
        if not codings[-1].endswith(b"chunked"):
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "a transfer coding that does not tell where the body ends")
        if codings != [b"chunked"]:
            raise ProtocolError(HTTPStatus.NOT_IMPLEMENTED, "the only transfer coding here is chunked, once")
        return True
