"""The chunked transfer coding (RFC 9112 section 7.1): where it ends, and which chunks are refused."""

import itertools
import re
from http import HTTPStatus
from typing import NamedTuple

from slot_machine.proxy.framing import MORE
from slot_machine.proxy.heads.fields import MOST_FIELDS, MOST_HEAD_BYTES, Lines, ProtocolError

MOST_LINE_BYTES = 4096
FREE_BYTES = 16
"""Each chunk may have this many bytes of framing, and twice the size of its data on top."""

MOST_EXCESS_BYTES = 16_384
"""All chunks of a body together may have this many bytes of framing beyond that."""

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
"""A quoted string must end in its line: for some parsers, an open one would include the next line."""

EXTENSION = rb";[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, QUOTED)
TIGHT_EXTENSION = b";%b(?:=(?:%b|%b))?" % (TOKEN, TOKEN, QUOTED)
CHUNK_LINE = rb"([0-9A-Fa-f]{1,15})(?:%b)*%b\r\n"
SPACE = re.compile(rb'"(?s:[^"\\]|\\.)*+(?:"|\\?\Z)|([ \t])')
"""Group 1: whitespace outside of quotes."""

MOST_SHORT_BYTES = 255
MOST_AT_ONCE = 1024
"""Chunks in one match: each makes the stack of the regular expression grow."""


def _short_chunks(extension: bytes) -> re.Pattern[bytes]:
    """Whole chunks of 1 to 255 bytes without framing in excess. Those of 1 to 15 bytes may have extensions.

    The pattern is a tree of the sizes' hexadecimal digits. One match takes many chunks, as one by one they would cost
    Python too much.
    """

    def digit(value: int) -> bytes:
        return b"[%x%X]" % (value, value)

    def data(size: int) -> bytes:
        return rb"\r\n(?s:.{%d})\r\n" % size

    branches = []
    for size in range(1, 16):
        free = FREE_BYTES + 2 * size - len(b"1\r\n\r\n")
        extensions = rb"(?<!0%b)(?![^\r\n]{%d})(?:%b)+" % (digit(size), free + 1, extension)
        longer = b"|".join(digit(low) + data(16 * size + low) for low in range(16))
        branches.append(b"%b(?:%b|%b|%b%b)" % (digit(size), data(size), longer, extensions, data(size)))
    return re.compile(b"(?:0{0,13}+(?:%b)){1,%d}" % (b"|".join(branches), MOST_AT_ONCE))


class ChunkLines(NamedTuple):
    """Patterns of the lines with chunk sizes: `plain` ones are passed on as they are, others without their whitespace.

    `short` matches whole chunks.
    """

    short: re.Pattern[bytes]
    plain: re.Pattern[bytes]
    accepted: re.Pattern[bytes]


_as_it_came = re.compile(CHUNK_LINE % (EXTENSION, b""))
REQUEST_LINES = ChunkLines(_short_chunks(EXTENSION), _as_it_came, _as_it_came)
REPLY_LINES = ChunkLines(
    _short_chunks(TIGHT_EXTENSION),
    re.compile(CHUNK_LINE % (TIGHT_EXTENSION, b"")),
    re.compile(CHUNK_LINE % (rb"[ \t]*" + EXTENSION, rb"[ \t]*")),
)
"""RFC 9112 section 7.1.1: whitespace is accepted, but must not be sent. Some servers also pad the size with it."""

LAST_CHUNK = b"0\r\n\r\n"


class Chunked:
    """Follows chunks with their extensions, and trailers. `payload`, if given, gets the data without its framing.

    A body that is mostly framing is refused: `_excess` is the number of bytes beyond what Go's net/http accepts, too.
    """

    __slots__ = (
        "_data_left",
        "_excess",
        "_line",
        "_line_is",
        "_lines",
        "_payload",
        "_spaces",
        "_trailer_bytes",
        "_trailer_lines",
        "_trailers",
    )

    def __init__(self, trailers: Lines, payload: list[bytes] | None = None, lines: ChunkLines = REQUEST_LINES) -> None:
        self._trailers = trailers
        self._lines = lines
        self._payload = payload
        self._data_left = 0
        self._excess = 0
        self._line = b""
        self._line_is = self._size
        self._spaces: list[int] = []
        self._trailer_lines = 0
        self._trailer_bytes = 0

    @property
    def between_chunks(self) -> bool:
        return not self._data_left and not self._line and self._line_is == self._size

    @property
    def clean_ending(self) -> bytes | None:
        return LAST_CHUNK if self.between_chunks else None

    def feed(self, data: bytes, at: int) -> int:
        end = len(data)
        while at < end:
            if self._data_left:
                step = min(self._data_left, end - at)
                if self._payload is not None:
                    self._payload.append(data[at : at + step])
                self._data_left -= step
                at += step
                continue
            if self.between_chunks:
                at = self._whole_chunks(data, at)
            cut = data.find(b"\n", at) + 1
            if self._lines is REPLY_LINES and self._payload is None:
                self._note_spaces(data, at, cut or end)
            self._line += data[at : cut or end]
            if len(self._line) > MOST_LINE_BYTES:
                raise ProtocolError(HTTPStatus.BAD_REQUEST, "a chunk with a line that is too long")
            if not cut:
                if self._line_is == self._data_end and self._line not in (b"", b"\r"):
                    self._data_end(self._line)
                break
            line, self._line, at = self._line, b"", cut
            if self._line_is(line):
                return at
        return MORE

    def passed(self, data: bytes, at: int, stop: int) -> bytes:
        """In a reply, without the whitespace that a sender must not send."""
        spaces, self._spaces = self._spaces, []
        if not spaces:
            return data[at:stop]
        return b"".join(data[left + 1 : right] for left, right in itertools.pairwise([at - 1, *spaces, stop]))

    def _note_spaces(self, data: bytes, at: int, stop: int) -> None:
        """Notes where whitespace is in the line of a chunk, or before a trailer's colon (RFC 9112 section 5.1).

        The line may come in parts. A malformed line is not passed on, so it does not matter what is noted of it.
        """
        known = len(self._line)
        line = self._line + data[at:stop]
        if self._line_is == self._trailer:
            spaces = [number for number, byte in enumerate(line.partition(b":")[0]) if byte in b" \t"]
        elif self._line_is == self._size:
            spaces = [found.start() for found in SPACE.finditer(line) if found[1]]
        else:
            return
        self._spaces += [at + number - known for number in spaces if number >= known]

    def _whole_chunks(self, data: bytes, at: int) -> int:
        """Where the whole chunks end that `data` has from `at` on. Nearly all chunks come whole."""
        payload, lines, size = self._payload, self._lines, 0
        while True:
            if payload is None and size <= MOST_SHORT_BYTES and (short := lines.short.match(data, at)):
                at = short.end()
            found = lines.plain.match(data, at)
            if not found:
                return at
            begin, size = found.end(), int(found[1], 16)
            stop = begin + size
            if not size or begin - at > MOST_LINE_BYTES or data[stop : stop + 2] != b"\r\n":
                return at
            if self._excess or begin - at > FREE_BYTES:
                self._count_framing(begin - at, size)
            if payload is not None:
                payload.append(data[begin:stop])
            at = stop + 2

    def _size(self, line: bytes) -> bool:
        found = self._lines.accepted.fullmatch(line)
        if not found:
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "malformed chunk size")
        self._data_left = int(found[1], 16)
        self._line_is = self._data_end if self._data_left else self._trailer
        self._count_framing(len(line), self._data_left)
        return False

    def _count_framing(self, line_bytes: int, size: int) -> None:
        """Short chunks never lower the excess, as most of them are not counted."""
        excess = self._excess + line_bytes + len(b"\r\n") - FREE_BYTES - 2 * size
        self._excess = max(excess, self._excess if size <= MOST_SHORT_BYTES else 0)
        if self._excess > MOST_EXCESS_BYTES:
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "a body that is mostly chunk extensions")

    def _data_end(self, line: bytes) -> bool:
        if line != b"\r\n":
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "a chunk that is not as long as it says")
        self._line_is = self._size
        return False

    def _trailer(self, line: bytes) -> bool:
        if line == b"\r\n":
            return True
        self._trailer_lines += 1
        self._trailer_bytes += len(line)
        if self._trailer_lines > MOST_FIELDS or self._trailer_bytes > MOST_HEAD_BYTES:
            raise ProtocolError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "trailers that are too long")
        self._trailers.check_trailer(line.removesuffix(b"\r\n"))
        return False


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
