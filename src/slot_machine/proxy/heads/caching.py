"""What the fields of a reply let shared caches do with it (RFC 9111 section 3)."""

import re
import time
from enum import Enum

CONTROL = re.compile(rb"(?i)^cache-control: *(.*)$", re.MULTILINE)
TARGETED_NAMES = rb"(?:[a-z0-9-]+-)?cdn-cache-control|surrogate-control|edge-control|x-litespeed-cache-control"
"""Of the fields that some caches obey in place of Cache-Control (RFC 9213; Akamai; LiteSpeed)."""
TARGETED = re.compile(rb"(?im)^(?:%b): *(.*)$" % TARGETED_NAMES)
ACCEL = re.compile(rb"(?im)^x-accel-expires: *([^\r\n]*)")
EXPIRES = re.compile(rb"(?im)^expires: *([^\r\n]*)")
DATE = re.compile(rb"(?im)^date: *([^\r\n]*)")
FIXDATE = re.compile(rb"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) GMT")
MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")

LIFETIMES = (b"max-age", b"s-maxage", b"cache-maxage", b"stale-while-revalidate", b"stale-if-error")


class Keeping(Enum):
    NEVER = "no shared cache keeps it"
    SILENT = "one may keep it, or give it again after it has asked for it, as nothing forbids that"
    WANTED = "it is meant for shared caches"


def keeping(lines: bytes) -> Keeping:
    """`lines` are those of a reply's fields. What is not understood counts as WANTED."""
    accel = ACCEL.search(lines)
    if (accel and accel[1].strip() != b"0") or any(_wanted(_directives([value])) for value in TARGETED.findall(lines)):
        return Keeping.WANTED
    directives = _directives(CONTROL.findall(lines))
    if _forbidden(directives):
        return Keeping.NEVER
    if _wanted(directives):
        return Keeping.WANTED
    # max-age stands above Expires (RFC 9111 section 5.3).
    return Keeping.WANTED if b"max-age" not in directives and _expires_later(lines) else Keeping.SILENT


def _directives(values: list[bytes]) -> dict[bytes, bytes]:
    """By name in lower case; empty for one without a value."""
    found = {}
    for part in b",".join(values).split(b","):
        name, _, value = part.strip().partition(b"=")
        found[name.strip().lower()] = value.strip(b' \t"')
    return found


def _forbidden(directives: dict[bytes, bytes]) -> bool:
    """`private` with names of fields keeps only those back."""
    return directives.get(b"private") == b"" or b"no-store" in directives


def _wanted(directives: dict[bytes, bytes]) -> bool:
    if _forbidden(directives):
        return False
    if b"public" in directives or b"immutable" in directives:
        return True
    return any(directives.get(name, b"0").strip(b"0") != b"" for name in LIFETIMES)


def _expires_later(lines: bytes) -> bool:
    expires = EXPIRES.search(lines)
    if not expires or expires[1].strip() in (b"0", b"-1", b""):
        return False
    date = DATE.search(lines)
    then, now = _moment(expires[1]), _moment(date[1]) if date else None
    now = now or time.strftime("%Y%m%d%H:%M:%S", time.gmtime()).encode()
    return then is None or then > now


def _moment(text: bytes) -> bytes | None:
    """Texts that sort as the moments do. None for other forms of dates."""
    parts = FIXDATE.fullmatch(text.strip())
    if not parts or parts[2] not in MONTHS:
        return None
    return b"%b%02d%b%b" % (parts[3], MONTHS.index(parts[2]) + 1, parts[1], parts[4])
