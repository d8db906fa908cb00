"""What a request says of its visitor to the rules for the version beside the live one."""

import re
from functools import lru_cache
from random import Random

from slot_machine.core.digested import is_digested
from slot_machine.core.upstream import Beside
from slot_machine.proxy.heads.fields import Cache

NUMBERS = 10_000
UNDECIDED = -1
PIN = b"slot-machine-share-"
"""The cookie with a visitor's number: `slot-machine-share-PORT=ID.NUMBER`. All ports of a host share its cookies."""
NUMBER = re.compile(rb"[0-9]{1,4}")

COOKIE = b"\r\nCookie: "


class Visit:
    """`number` is the visitor's, from 0 to 9999, as far as cookies tell, else UNDECIDED.

    `stale`: it has a number of another share. `digested`: it asks for a file whose name bears a digest.
    """

    __slots__ = ("beside", "digested", "number", "stale")

    def __init__(self, lines: bytes, method: bytes, target: bytes, beside: Beside, port: int) -> None:
        """`lines` are the request's for the app, `port` is the public one."""
        self.beside = beside
        self.digested = _digested[target] and method in (b"GET", b"HEAD")
        self.number, self.stale = UNDECIDED, False
        cookies = cookie(lines) if PIN in lines or beside.cookie else b""
        if beside.share and beside.cookie and (value := _value(cookies, beside.cookie)):
            self.number = 0 if value in beside.cookie_values else number_of(beside.share_id, value)
        elif PIN in cookies and (pins := _of_pin(port).findall(cookies)):
            self.number = _pinned(pins, beside.share_id.encode())
            self.stale = self.number == UNDECIDED


def pin_name(port: int) -> bytes:
    return b"%b%d" % (PIN, port)


def cookie(lines: bytes) -> bytes:
    """The value of Cookie; empty without one."""
    begin = lines.find(COOKIE)
    if begin >= 0 and lines.find(COOKIE, begin + 1) < 0:
        begin += len(COOKIE)
        return lines[begin : lines.find(b"\r\n", begin)]
    return b"; ".join(values(lines, b"cookie"))


def values(lines: bytes, name: bytes) -> list[bytes]:
    """The values of all fields of that name, which is in lower case."""
    return _pattern(name).findall(lines)


@lru_cache(4096)
def number_of(share_id: str, text: str) -> int:
    """The same one in all workers, evenly spread, and another one in another share."""
    return Random(f"{share_id} {text}").randrange(NUMBERS)


@lru_cache(16)
def _of_pin(port: int) -> re.Pattern[bytes]:
    return re.compile(rb"(?:^|[; ])%b=([^; ]*)" % pin_name(port))


def _pinned(pins: list[bytes], share_id: bytes) -> int:
    """The number in the first one of this share."""
    for pin in pins:
        given, _, number = pin.partition(b".")
        if given == share_id and NUMBER.fullmatch(number):
            return int(number)
    return UNDECIDED


@lru_cache(16)
def _pattern(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"(?i)\r\n%b: ([^\r]*)" % re.escape(name))


def _value(cookies: bytes, name: str) -> str:
    """Of the first cookie of that name, without quotes."""
    for pair in cookies.split(b";"):
        given, _, value = pair.strip().partition(b"=")
        if given == name.encode():
            return value.strip(b'"').decode("latin-1")
    return ""


def _is_digested(target: bytes) -> bool:
    path = target.partition(b"?")[0].decode("latin-1").strip("/")
    return "." in path.rpartition("/")[2] and is_digested(path)


_digested = Cache(_is_digested)
