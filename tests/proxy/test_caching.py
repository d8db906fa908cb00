"""Which replies shared caches may keep, and what a share's cookie does to them."""

import pytest

from slot_machine.proxy.heads.caching import Keeping
from slot_machine.proxy.heads.reply import ReplyHead
from slot_machine.proxy.rule import private_with

NEVER, SILENT, WANTED = Keeping.NEVER, Keeping.SILENT, Keeping.WANTED
DATE = "Date: Fri, 27 Nov 2026 10:00:00 GMT"
BEFORE, AFTER = "Fri, 27 Nov 2026 09:59:59 GMT", "Fri, 27 Nov 2026 10:00:01 GMT"

TABLE = [
    ("", SILENT),
    ("Cache-Control: no-cache", SILENT),
    ("Cache-Control: max-age=0", SILENT),
    ("cache-control: MAX-AGE=0, must-revalidate", SILENT),
    ("Cache-Control: s-maxage=0", SILENT),
    ("Pragma: no-cache", SILENT),
    ("Last-Modified: Fri, 27 Nov 2026 09:00:00 GMT", SILENT),
    ("Cache-Control: private", NEVER),
    ("Cache-Control: no-store", NEVER),
    ("Cache-Control: max-age=0, private, must-revalidate", NEVER),
    ("Cache-Control: max-age=60\r\nCache-Control: private", NEVER),
    ("Cache-Control: Private, Max-Age=60", NEVER),
    ("Cache-Control: public, no-store", NEVER),
    ("Cache-Control: private, s-maxage=60", NEVER),
    ("Cache-Control: public", WANTED),
    ("Cache-Control: max-age=60", WANTED),
    ('Cache-Control: max-age="60"', WANTED),
    ("Cache-Control: max-age=soon", WANTED),
    ("Cache-Control: max-age=0, s-maxage=60", WANTED),
    ("Cache-Control: max-age=0, stale-while-revalidate=30", WANTED),
    ("Cache-Control: no-cache, public", WANTED),
    ("Cache-Control: immutable", WANTED),
    ('Cache-Control: private="x-user", max-age=60', WANTED),
    (f"{DATE}\r\nExpires: {AFTER}", WANTED),
    (f"{DATE}\r\nExpires: {BEFORE}", SILENT),
    (f"{DATE}\r\nExpires: {AFTER}\r\nCache-Control: max-age=0", SILENT),
    (f"{DATE}\r\nExpires: {AFTER}\r\nCache-Control: private", NEVER),
    ("Expires: Fri, 27 Nov 1970 10:00:00 GMT", SILENT),
    ("Expires: Fri, 27 Nov 9026 10:00:00 GMT", WANTED),
    ("Expires: Friday, 27-Nov-26 10:00:00 GMT", WANTED),
    ("Expires: 0", SILENT),
    ("Expires: -1", SILENT),
    ("Cache-Control: private\r\nCDN-Cache-Control: max-age=60", WANTED),
    ("Cache-Control: no-store\r\nCloudflare-CDN-Cache-Control: public", WANTED),
    ("Surrogate-Control: max-age=3600", WANTED),
    ("CDN-Cache-Control: no-store", SILENT),
    ("Edge-Control: !no-store, cache-maxage=5m", WANTED),
    ("Cache-Control: no-cache\r\nX-LiteSpeed-Cache-Control: public,max-age=120", WANTED),
    ("X-LiteSpeed-Cache-Control: no-cache", SILENT),
    ("Cache-Control: private\r\nX-Accel-Expires: 60", WANTED),
    ("X-Accel-Expires: 0", SILENT),
    ("X-Cache-Control: public", SILENT),
]


def head(lines: str, status: str = "200 OK") -> ReplyHead:
    block = f"{lines}\r\n" if lines else ""
    return ReplyHead(f"HTTP/1.1 {status}\r\n{block}\r\n".encode())


@pytest.mark.parametrize(("lines", "expected"), TABLE)
def test_what_shared_caches_may_do(lines: str, expected: Keeping) -> None:
    reply = head(lines)
    assert reply.keeping is expected
    change = private_with(b"Set-Cookie: x\r\n", reply)
    added = {NEVER: b"Set-Cookie: x\r\n", SILENT: b"Set-Cookie: x\r\nCache-Control: private\r\n", WANTED: None}
    assert (change and change.added) == added[expected]


@pytest.mark.parametrize(("lines", "given"), [("", False), ("Cache-Control: private", True), ("ETag: x", False)])
def test_a_304_changes_what_a_cache_has_only_if_none_has_it(lines: str, given: bool) -> None:
    assert (private_with(b"Set-Cookie: x\r\n", head(lines, "304 Not Modified")) is not None) == given
