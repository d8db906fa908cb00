"""Where a body ends: by its length, by its last chunk, or with the connection (RFC 9112 sections 6 and 7)."""

import re
from http import HTTPStatus
from typing import Protocol

from slot_machine.proxy.fields import MOST_HEAD_BYTES, Lines, Refusal

MORE = -1
MOST_LINE_BYTES = 4096
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*\r\n" % (TOKEN, TOKEN, QUOTED))
"""A quoted string ends in its line: for some parsers one that does not goes on beyond it."""

LAST_CHUNK = b"0\r\n\r\n"


class Framing(Protocol):
    """Follows a body that goes on as it came."""

    def feed(self, data: bytes, at: int) -> int:
        """Where in `data`, read from `at` on, the body ends; MORE if it does not. Raises Refusal."""


class Sized:
    """A body of `left` bytes, at least one."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    def feed(self, data: bytes, at: int) -> int:
        here = len(data) - at
        if here < self._left:
            self._left -= here
            return MORE
        return at + self._left


class UntilClose:
    """A reply that ends with the app's connection."""

    def feed(self, data: bytes, at: int) -> int:  # noqa: ARG002 - a Framing
        return MORE


class Chunked:
    """Chunks with their extensions, and trailers. `payload`, where given, gets what is inside of the chunks."""

    __slots__ = ("_data_left", "_line", "_line_is", "_payload", "_trailer_bytes", "_trailers")

    def __init__(self, trailers: Lines, payload: list[bytes] | None = None) -> None:
        self._trailers = trailers
        self._data_left = 0
        self._line = b""
        self._line_is = self._size
        self._trailer_bytes = 0
        self._payload = payload

    @property
    def between_chunks(self) -> bool:
        return not self._data_left and not self._line and self._line_is == self._size

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
            cut = data.find(b"\n", at) + 1
            self._line += data[at : cut or end]
            if len(self._line) > MOST_LINE_BYTES:
                raise Refusal(HTTPStatus.BAD_REQUEST, "a chunk with a line that is too long")
            if not cut:
                if self._line_is == self._data_end and self._line != b"\r":
                    self._data_end(self._line)
                break
            line, self._line, at = self._line, b"", cut
            if self._line_is(line):
                return at
        return MORE

    def _size(self, line: bytes) -> bool:
        found = CHUNK_LINE.fullmatch(line)
        if not found:
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed chunk size")
        self._data_left = int(found[1], 16)
        self._line_is = self._data_end if self._data_left else self._trailer
        return False

    def _data_end(self, line: bytes) -> bool:
        if line != b"\r\n":
            raise Refusal(HTTPStatus.BAD_REQUEST, "a chunk that is not as long as it says")
        self._line_is = self._size
        return False

    def _trailer(self, line: bytes) -> bool:
        if line == b"\r\n":
            return True
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MOST_HEAD_BYTES:
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "trailers that are too long")
        self._trailers.check_trailer(line.removesuffix(b"\r\n"))
        return False


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
