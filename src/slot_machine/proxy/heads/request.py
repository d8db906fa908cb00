"""Heads of requests: what is refused, and what is passed on to the app."""

import re
from http import HTTPStatus
from typing import NamedTuple

from slot_machine.core.upstream import Beside
from slot_machine.proxy.heads.fields import FRAMING, HOP_BY_HOP, MOST_HEAD_BYTES, Cache, Lines, ProtocolError, Values
from slot_machine.proxy.heads.forwarded import NO_FORWARDED_HEADERS, ForwardedHeaders, Sender, forwarding, fresh_ids
from slot_machine.proxy.heads.tokens import A_CONDITION, A_COOKIE, A_PIN, A_TOKEN, NAME, Tokens, mentioned, taken
from slot_machine.proxy.heads.visit import FETCH_METADATA, Manner, Visit, value_of, visit_of

REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~\x80-\xff]+) HTTP/1\.([01])\r\n")
OTHER_VERSION = re.compile(rb"[^\r\n]* HTTP/(?!1\.[01])[0-9]\.[0-9]\r\n")
SLASH, QUESTION_MARK = b"/?"
START = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: |$)")
HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
"""RFC 3986 section 3.2.2, with the port of RFC 9110 section 7.2."""

COOKIE = b"\r\nCookie: "
COOKIE_LINE = re.compile(rb"Cookie: [!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?\r\n")
"""A cookie that is passed on as it came: without more whitespace around its value."""

HOST_LINE = re.compile(rb"(?im)^host:[^\r\n]*\r\n")
ABSOLUTE = re.compile(rb"(?i)https?://(?!:)([^/?#]+)([/?][^#]*)?")
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""RFC 9110 section 9.2.2."""

CREDENTIALS = re.compile(
    rb"(?m)^cookie$|auth|token|session|secret|jwt|api-?key|subscription-key|email|(?<!sec-fetch-)user(?!-?agent)"
    rb"|(ssl|tls)-client|client-cert"
)
"""Names of fields that say who sends a request, a line each. A proxy in front may have added one."""

CONDITIONS = frozenset((b"if-none-match", b"if-modified-since"))
COOKIES = re.compile(rb"(?i)\r\ncookie: [^\r]*")
LOGGED = re.compile(rb"(?i)\r\n(user-agent|referer): ([^\r]*)")

MEANT = FRAMING | FETCH_METADATA | {b"accept", b"connection", b"expect", b"upgrade"}
STOPPED = HOP_BY_HOP | {b"http2-settings"}
ODD = re.compile(rb"[^0-9a-z\-]")

CLEARTEXT_UPGRADES = frozenset((b"h2c", b"http/2.0"))
"""Never passed on: the requests inside such a tunnel would pass the proxy unseen."""


def misnamed(name: bytes) -> bool:
    """Whether an app could take it for another field: to CGI, WSGI, Rack and PHP, a dash, an underscore, a dot and each
    other character that is no letter or digit are the same.
    """
    return ODD.search(name) is not None


def check_beginning(data: bytes) -> None:
    """Raises ProtocolError for bytes that can't become a head: TLS, a bare LF, HTTP/0.9."""
    if not START.match(data) or data.count(b"\n") != data.count(b"\r\n"):
        raise ProtocolError(HTTPStatus.BAD_REQUEST, "this is not HTTP/1.1")
    if b"\n" in data and not REQUEST_LINE.match(data):
        raise _not_a_request_line(data)


class RequestMeaning:
    """What a request's fields mean to a proxy. `stopped`: names of fields that are not passed on because of Connection.

    `added` are lines that the proxy adds.
    """

    __slots__ = (
        "accept",
        "added",
        "chunked",
        "close",
        "expects_continue",
        "has_body",
        "host",
        "hosts",
        "keep_alive",
        "length",
        "manner",
        "stopped",
        "upgrade",
    )

    def __init__(self, meant: bytes) -> None:
        """Raises ProtocolError."""
        given = Values(meant)
        self.hosts = given.all(b"host")
        self.host = self.hosts[0] if self.hosts else b""
        if not all(map(HOST.fullmatch, self.hosts)):
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "malformed Host")
        self.length = given.content_length() or 0
        self.chunked = given.chunked()
        self.has_body = self.chunked or self.length > 0
        options = given.members(b"connection")
        self.close = b"close" in options
        self.keep_alive = b"keep-alive" in options
        self.upgrade = b", ".join(given.all(b"upgrade")) if b"upgrade" in options else b""
        if self.has_body or given.members(b"upgrade") & CLEARTEXT_UPGRADES:
            self.upgrade = b""
        self.expects_continue = b"100-continue" in given.members(b"expect")
        self.accept = b",".join(given.all(b"accept"))
        self.manner = Manner.of(given)
        self.stopped = given.named_by_connection
        self.added = b"Transfer-Encoding: chunked\r\n" if self.chunked else b""
        if not self.hosts:
            self.added += b"Host: \r\n"


_lines = Lines(MEANT, STOPPED, forwarding=forwarding, misnamed=misnamed)
TRAILERS = Lines(frozenset(), HOP_BY_HOP | FRAMING | {NAME}, forwarding=forwarding, misnamed=misnamed)
_meanings = Cache(RequestMeaning)


class Block(NamedTuple):
    """The fields of a head, read. `passed` are the lines for the app, `misnamed` is a number of fields.

    `anonymous`: none of its fields says who sends it. `takes_cookie`: a line with a cookie may be appended to `passed`.
    `mentions`: see `tokens.mentioned`; with A_COOKIE if it has a cookie that is not empty, and A_CONDITION.
    """

    meaning: RequestMeaning
    forwarded: ForwardedHeaders
    passed: bytes
    misnamed: int
    anonymous: bool
    mentions: int
    takes_cookie: bool


def _understood(block: bytes) -> tuple[RequestMeaning, ForwardedHeaders, bytes, int, bool, int]:
    """Reads a block without its cookie, so that the rest, which is the same for many users, is found in the cache.

    The cookie means nothing to a proxy and is passed on as the last line (RFC 9110 section 5.3: the order of fields
    with different names does not matter).
    """
    begin = block.find(COOKIE) + 2
    end = block.find(b"\r\n", begin) + 2
    if begin >= 2 and COOKIE_LINE.fullmatch(block, begin, end):
        meaning, forwarded, passed, misnamed, _, mentions, takes_cookie = _shared[block[:begin] + block[end:]]
        if takes_cookie:
            cookie = block[begin:end]
            return meaning, forwarded, passed + cookie, misnamed, False, mentions | mentioned(cookie) | A_COOKIE
    return _shared[block][:6]


def _understood_as_a_whole(block: bytes) -> Block:
    fields = _lines.read(block)
    meaning = _meanings[fields.meant]
    forwarded = ForwardedHeaders.of(fields.forwarding) if fields.forwarding else NO_FORWARDED_HEADERS
    passed = fields.passed(meaning.stopped) + meaning.added
    mentions = mentioned(block)
    if b"cookie" in fields.names:
        takes_cookie = False
        if value_of(b"\r\n" + passed, COOKIE):
            mentions |= A_COOKIE
    else:
        takes_cookie = not meaning.stopped
    if not CONDITIONS.isdisjoint(fields.names):
        mentions |= A_CONDITION
    anonymous = not CREDENTIALS.search(b"\n".join(fields.names))
    return Block(meaning, forwarded, passed, fields.misnamed, anonymous, mentions, takes_cookie)


_shared = Cache(_understood_as_a_whole)


class RequestHead:
    """A request's head up to and including its empty line. Raises ProtocolError. Equal requests share one, cached.

    `plain`: the reply has a body if its fields say so, and it may be chunked. `repeatable`: it may be sent twice (RFC
    9110 section 9.2.2), and has no body. `size` is in bytes. `misnamed`: the number of fields dropped for their names.
    `anonymous`: a plain `GET` without a query, of which no field says who sends it. `tokens`: those of previews that it
    came with, which are nowhere else in it; None for most. `mentions`: see `Block`. `ours`: it may have the cookie of a
    share, or has tokens. `latest_visit`: see `visit`.
    """

    __slots__ = (
        "_for_app",
        "_forwarded",
        "_logged",
        "anonymous",
        "http_1_1",
        "keep_alive",
        "latest_visit",
        "meaning",
        "mentions",
        "method",
        "misnamed",
        "ours",
        "plain",
        "repeatable",
        "size",
        "target",
        "tokens",
        "upgrade",
    )

    _logged: tuple[str, str]

    def __init__(self, head: bytes) -> None:
        line = REQUEST_LINE.match(head)
        if line is None:
            raise _not_a_request_line(head)
        self.size = len(head)
        self.latest_visit: Visit | None = None
        self.method, self.target, minor = line.groups()
        block = head[line.end() :]
        meaning, self._forwarded, passed, self.misnamed, anonymous, mentions = _understood(block)
        self.tokens: Tokens | None = None
        self.ours = mentions & A_PIN > 0
        query = QUESTION_MARK in self.target
        if mentions & A_TOKEN or mentioned(self.target) & A_TOKEN:
            self.target, block, self.tokens = taken(self.target, block)
            meaning, self._forwarded, passed, self.misnamed, _, left = _understood(block)
            mentions = mentions & A_PIN | left & (A_COOKIE | A_CONDITION)
            self.ours = self.ours or self.tokens is not None
            anonymous = False
        self.mentions = mentions
        self.meaning = meaning
        self.http_1_1 = minor == b"1"
        if self.http_1_1:
            self.keep_alive = not meaning.close
            self.upgrade = meaning.upgrade
            if len(meaning.hosts) != 1:
                raise ProtocolError(HTTPStatus.BAD_REQUEST, "a request needs exactly one Host")
        else:
            self.keep_alive = meaning.keep_alive and not meaning.close
            self.upgrade = b""
            if len(meaning.hosts) > 1:
                raise ProtocolError(HTTPStatus.BAD_REQUEST, "a request needs exactly one Host")
            if meaning.chunked:
                raise ProtocolError(HTTPStatus.BAD_REQUEST, "Transfer-Encoding in an HTTP/1.0 request")
        self.plain = self.http_1_1 and self.method != b"HEAD"
        self.repeatable = self.method in IDEMPOTENT and not meaning.has_body and not meaning.upgrade
        if self.target[0] != SLASH or self.method == b"CONNECT":
            host = self._take_unusual_target()
            if host:
                self.meaning, _, passed, _, _, _ = _understood(b"Host: %b\r\n%b" % (host, HOST_LINE.sub(b"", block)))
        self.anonymous = anonymous and self.method == b"GET" and self.repeatable and not query
        self._for_app = b"%b %b HTTP/1.1\r\n%b" % (self.method, self.target, passed)
        if self.upgrade:
            self._for_app += b"Connection: upgrade\r\nUpgrade: %b\r\n" % self.upgrade

    def for_app(self, sender: Sender) -> tuple[bytes, bytes]:
        """The head for the app, always HTTP/1.1, and the request's id in it."""
        forwarded = self._forwarded
        if sender.tells(forwarded):
            lines, host, request_id = sender.pass_on(forwarded, self.meaning.host)
        else:
            lines, host, request_id = sender.lines, self.meaning.host, next(fresh_ids)
        return b"".join((self._for_app, lines, host, b"\r\nX-Request-Id: ", request_id, b"\r\n\r\n")), request_id

    def logged(self) -> tuple[str, str]:
        """The fields User-Agent and Referer in ASCII, for a log; empty where there is none."""
        try:
            return self._logged
        except AttributeError:
            fields = {name.lower(): value for name, value in LOGGED.findall(self._for_app)}
            agent, referer = fields.get(b"user-agent", b""), fields.get(b"referer", b"")
            self._logged = agent.decode("ascii", "backslashreplace"), referer.decode("ascii", "backslashreplace")
            return self._logged

    def visit(self, beside: Beside, port: int) -> Visit:
        """`port` is the public one."""
        visit = self.latest_visit = visit_of(self._for_app, self, self.meaning.manner, beside, port)
        return visit

    def is_https(self, sender: Sender) -> bool:
        """Whether the client speaks TLS, as far as a trusted proxy tells."""
        forwarded = self._forwarded
        return forwarded is not NO_FORWARDED_HEADERS and forwarded.proto == b"https" and sender.tells(forwarded)

    def origin(self, sender: Sender) -> tuple[str, bool]:
        """`client` and `is_https`, in one step."""
        if self._forwarded is NO_FORWARDED_HEADERS:
            return sender.itself
        return self.client(sender), self.is_https(sender)

    def client(self, sender: Sender) -> str:
        """The address that the request came from in the first place, as far as trusted proxies tell."""
        return sender.client(self._forwarded)

    def visitor(self, sender: Sender) -> int:
        """The same for two requests of one visitor, as far as can be told: by address, program and cookies."""
        return hash((self.client(sender), self.logged()[0], *COOKIES.findall(self._for_app)))

    def _take_unusual_target(self) -> bytes:
        """Handles targets that do not begin with a slash (RFC 9112 section 3.2). Returns the host in it, empty if none.

        The app gets the path alone, as some apps find no route otherwise, and that host as Host (section 3.2.2).
        """
        if self.method == b"CONNECT":
            raise ProtocolError(HTTPStatus.NOT_IMPLEMENTED, "this server is no forward proxy")
        if self.target == b"*" and self.method == b"OPTIONS":
            return b""
        absolute = ABSOLUTE.fullmatch(self.target)
        if not absolute or not HOST.fullmatch(absolute[1]):
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "malformed request target")
        host, path = absolute.groups()
        if not path:
            self.target = b"*" if self.method == b"OPTIONS" else b"/"
        else:
            self.target = b"/" + path if path.startswith(b"?") else path
        return bytes(host)


def _not_a_request_line(head: bytes) -> ProtocolError:
    if OTHER_VERSION.match(head):
        return ProtocolError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1")
    return ProtocolError(HTTPStatus.BAD_REQUEST, "malformed request line")


known = Cache(RequestHead)
"""By their bytes, so what is found here ends with its head."""


def first_head(data: bytes) -> RequestHead | None:
    """The head at the beginning of `data`; None if its end has not come. Raises ProtocolError."""
    end = data.find(b"\r\n\r\n") + 4
    if 4 <= end <= MOST_HEAD_BYTES:
        return known[data[:end]]
    if len(data) > MOST_HEAD_BYTES:
        raise ProtocolError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a head of over {MOST_HEAD_BYTES} bytes")
    check_beginning(data)
    return None
