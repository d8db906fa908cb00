"""The header fields of a message: which are well-formed, which mean something to a proxy, and which stop here."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, TypeVar

T = TypeVar("T")

HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"))
"""RFC 9110 section 7.6.1. They concern one connection, so each side gets its own."""

FRAMING = frozenset((b"content-length", b"host", b"transfer-encoding"))
"""What Connection can't declare to be hop-by-hop, and what no trailer may say (RFC 9110 section 6.5.1)."""

OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))
"""Members of Connection that name no field, or one that is hop-by-hop in any case."""

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

    `known_as` is the same for all ways to write it if it has a meaning here, else empty. `of_way` is the line if it
    says something of the way that the message came, else empty.
    """

    name: bytes
    line: bytes
    known_as: bytes
    of_way: bytes
    misnamed: bool


class Fields(NamedTuple):
    """The fields of one head. `meant` is what `Values` understands, `of_way` whole lines; `misnamed` counts fields."""

    names: tuple[bytes, ...]
    lines: tuple[bytes, ...]
    meant: bytes
    of_way: bytes
    misnamed: int

    def passed(self, stopped: frozenset[bytes]) -> bytes:
        """The lines that go on; `stopped` are the names of more that don't."""
        if stopped:
            return b"".join([line for name, line in zip(self.names, self.lines, strict=True) if name not in stopped])
        return b"".join(self.lines)


NO_FIELDS = Fields((), (), b"", b"", 0)


def no_name(_: bytes) -> bool:
    return False


class Lines:
    """What the latest lines of one kind of head came to: `meant` have a meaning here, `stopped` go no further.

    Nor do names, in lower case, that are `of_way` or `misnamed`.
    """

    def __init__(
        self,
        meant: frozenset[bytes],
        stopped: frozenset[bytes],
        *,
        form: re.Pattern[bytes] = LINE,
        of_way: Callable[[bytes], bool] = no_name,
        misnamed: Callable[[bytes], bool] = no_name,
    ) -> None:
        self._meant = meant
        self._stopped = stopped
        self._form = form
        self._of_way = of_way
        self._misnamed = misnamed
        self.known = Memory(self._field)

    def read(self, block: bytes) -> Fields:
        """`block`: lines with the empty one that ends them. Raises Refusal."""
        if block == b"\r\n":
            return NO_FIELDS
        lines = block[:-4].split(b"\r\n")
        if len(lines) > MOST_FIELDS:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MOST_FIELDS} header fields")
        names, passed, known_as, of_way, misnamed = zip(*map(self.known.__getitem__, lines), strict=True)
        return Fields(names, passed, b"".join(known_as), b"".join(of_way), sum(misnamed))

    def check_trailer(self, line: bytes) -> None:
        """Raises Refusal for what would have to stop here: a body goes on as it came."""
        if not self.known[line].line:
            raise Refusal(HTTPStatus.BAD_REQUEST, "a trailer that would change how the message is understood")

    def _field(self, line: bytes) -> Field:
        if not self._form.fullmatch(line):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed header field")
        given, _, value = line.partition(b":")
        given, value = given.rstrip(b" \t"), value.strip(b" \t")
        name = given.lower()
        goes_on = b"%b: %b\r\n" % (given, value)
        of_way, misnamed = self._of_way(name), self._misnamed(name)
        return Field(
            name,
            line=b"" if of_way or misnamed or name in self._stopped else goes_on,
            known_as=b"%b:%b\n" % (name, value) if name in self._meant else b"",
            of_way=goes_on if of_way else b"",
            misnamed=misnamed,
        )


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
