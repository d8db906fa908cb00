"""Heads of requests and replies: what is refused, what stops at the proxy, and how the rest is written out."""

import os
import re
from http import HTTPStatus

Header = tuple[bytes, bytes]

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
"""RFC 9110 section 7.6.1. They concern one connection, so each side gets its own."""

FORWARDED = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"))
TARGET = re.compile(rb"[!-~\x80-\xff]+")
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(rb"[\t -~\x80-\xff]*")
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""RFC 9110 section 9.2.2."""

MOST_HEADERS = 200
MOST_HEAD_BYTES = 65_536


class Refusal(Exception):
    """A message that must not go on, with the status that says so."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def too_large() -> Refusal:
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head of over {MOST_HEAD_BYTES} bytes")


class RequestHead:
    """A request as it came, name case and order kept. `version` is `1.0` or `1.1`."""

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = ""
        self.headers: list[Header] = []
        self.keep_alive = True
        self.chunked = False
        self.has_body = False
        self.upgrade = b""

    def get(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    def check(self) -> None:
        """Raises Refusal for whatever two parsers could understand in two ways (RFC 9112 sections 3.2, 6.1, 11.2)."""
        if self.version not in ("1.0", "1.1"):
            raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1")
        if self.method == b"CONNECT":
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "this server is no forward proxy")
        if not TARGET.fullmatch(self.target):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the request target has characters that must be encoded")
        if len(self.target) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD_BYTES:
            raise too_large()
        check_fields(self.headers)
        hosts = self.get(b"host")
        if len(hosts) > 1 or (not hosts and self.version == "1.1"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "a request needs exactly one Host")
        self._check_framing()
        tokens = b",".join(self.get(b"connection")).lower()
        if b"upgrade" in tokens and self.version == "1.1":
            self.upgrade = b", ".join(self.get(b"upgrade"))

    def _check_framing(self) -> None:
        codings = self.get(b"transfer-encoding")
        lengths = self.get(b"content-length")
        if codings:
            if lengths:
                raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length together with Transfer-Encoding")
            if self.version == "1.0":
                raise Refusal(HTTPStatus.BAD_REQUEST, "Transfer-Encoding in an HTTP/1.0 request")
            if [coding.strip().lower() for coding in codings] != [b"chunked"]:
                raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "the only transfer coding here is chunked")
            self.chunked = True
        if len(lengths) > 1 or (lengths and not re.fullmatch(rb"[0-9]{1,18}", lengths[0])):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed Content-Length")
        self.has_body = self.chunked or bool(lengths and int(lengths[0]))

    def serialise(self, peer: str, *, trusted: bool) -> bytes:
        """For the app, always as HTTP/1.1. What a client says of proxies before it counts only if that is `trusted`."""
        dropped = HOP_BY_HOP | named_by_connection(self.headers)
        lines = [b"%s %s HTTP/1.1" % (self.method, self.target)]
        if not self.get(b"host"):
            lines.append(b"Host: ")
        lines += [
            b"%s: %s" % (name, value)
            for name, value in self.headers
            if (lower := name.lower()) not in dropped and lower not in FORWARDED
        ]
        lines += self._forwarded(peer, trusted=trusted)
        if self.chunked:
            lines.append(b"Transfer-Encoding: chunked")
        if self.upgrade:
            lines += [b"Connection: upgrade", b"Upgrade: " + self.upgrade]
        return b"\r\n".join([*lines, b"", b""])

    def _forwarded(self, peer: str, *, trusted: bool) -> list[bytes]:
        said = {name: self.get(name) if trusted else [] for name in FORWARDED}
        hosts = said[b"x-forwarded-host"] or self.get(b"host")
        lines = [
            b"X-Forwarded-For: " + b", ".join([*said[b"x-forwarded-for"], peer.encode()]),
            b"X-Forwarded-Proto: " + (said[b"x-forwarded-proto"] or [b"http"])[-1],
            b"X-Request-Id: " + (said[b"x-request-id"] or [os.urandom(8).hex().encode()])[-1],
        ]
        return lines + [b"X-Forwarded-Host: " + host for host in hosts[-1:]]


class ReplyHead:
    """A reply's head as the app sent it."""

    def __init__(self) -> None:
        self.reason = b""
        self.headers: list[Header] = []

    def serialise(self, status: int, *, chunked: bool, close: bool, upgrade: bool) -> bytes:
        dropped = HOP_BY_HOP | named_by_connection(self.headers)
        lines = [b"HTTP/1.1 %d %s" % (status, self.reason)]
        lines += [b"%s: %s" % header for header in self.headers if header[0].lower() not in dropped]
        if chunked:
            lines.append(b"Transfer-Encoding: chunked")
        if upgrade:
            protocols = [value for name, value in self.headers if name.lower() == b"upgrade"]
            lines += [b"Connection: upgrade", b"Upgrade: " + b", ".join(protocols)]
        elif close:
            lines.append(b"Connection: close")
        return b"\r\n".join([*lines, b"", b""])

    def has(self, name: bytes) -> bool:
        return any(key.lower() == name for key, _ in self.headers)


def check_fields(headers: list[Header]) -> None:
    """Raises Refusal."""
    if len(headers) > MOST_HEADERS:
        raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MOST_HEADERS} header fields")
    for name, value in headers:
        if not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise Refusal(HTTPStatus.BAD_REQUEST, "malformed header field")


def named_by_connection(headers: list[Header]) -> frozenset[bytes]:
    """The fields that Connection declares to be hop-by-hop; never the ones that frame the message."""
    values = [value for name, value in headers if name.lower() == b"connection"]
    names = {token.strip().lower() for value in values for token in value.split(b",")}
    return frozenset(names - {b"content-length", b"host", b""})


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
