"""Replies that the proxy gives in place of the app."""

import json
import re
from http import HTTPStatus

RETRY_AFTER_S = 1
MAINTENANCE_RETRY_S = 60
NO_FILE = "there is no such file"
KINDS = re.compile(rb"(?i)application/json|text/html")
ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
"""The module `html` would take 0.4 MB of memory in each worker, for its table of entities."""


def reply(status: HTTPStatus, why: str, accept: bytes, *, connection: bytes, head_only: bool) -> bytes:
    """A whole reply: JSON if `accept` names it before HTML, else HTML. `connection`: the Connection field's value."""
    named = KINDS.search(accept)
    if named and named[0].lower() == b"application/json":
        kind, body = "application/json", json.dumps({"error": why, "status": status.value}).encode()
    else:
        title = f"{status.value} {status.phrase}"
        kind = "text/html; charset=utf-8"
        body = f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{why.translate(ESCAPED)}</p>\n".encode()
    retry_after_s = RETRY_AFTER_S if status is HTTPStatus.SERVICE_UNAVAILABLE else 0
    return _whole(status, kind, body, retry_after_s, connection=connection, head_only=head_only)


def maintenance(kind: str, body: bytes, *, connection: bytes, head_only: bool) -> bytes:
    """A whole reply under maintenance."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return _whole(status, kind, body, MAINTENANCE_RETRY_S, connection=connection, head_only=head_only)


def see_other(location: bytes, cookie: bytes, *, clears_cache: bool, connection: bytes) -> bytes:
    """A whole reply: another address, and a cookie. Nobody is told the address that it was asked for.

    `clears_cache`: the browser drops the pages of this site that it has kept.
    """
    lines = [
        b"HTTP/1.1 303 See Other",
        b"Location: " + location,
        b"Set-Cookie: " + cookie,
        b"Cache-Control: no-store",
        b"Referrer-Policy: no-referrer",
        b"X-Robots-Tag: noindex",
        b"Content-Length: 0",
    ]
    if clears_cache:
        lines.append(b'Clear-Site-Data: "cache"')
    if connection:
        lines.append(b"Connection: " + connection)
    return b"\r\n".join([*lines, b"", b""])


def _whole(
    status: HTTPStatus, kind: str, body: bytes, retry_after_s: int, *, connection: bytes, head_only: bool
) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
    ]
    if retry_after_s:
        lines.append(f"Retry-After: {retry_after_s}")
    if connection:
        lines.append(f"Connection: {connection.decode()}")
    head = "\r\n".join([*lines, "", ""]).encode()
    return head if head_only else head + body
