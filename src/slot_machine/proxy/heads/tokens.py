"""The token of a preview in a request. It is found and taken out, so that neither the app nor a log ever gets it.

The cookie of a share is noticed on the way, because its name begins like that of a preview's.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from slot_machine.core import preview

NAME = preview.NAME.encode()
PIN = b"slot-machine-share-"
"""The cookie with a visitor's number: `slot-machine-share-PORT=ID.NUMBER`. All ports of a host share its cookies."""
OURS = b"slot-machine-"
A_TOKEN, A_PIN, A_COOKIE, A_CONDITION = 1, 2, 4, 8
"""What a request may have: the token of a preview, the cookie of a share, any cookie, a field by which its client has
a page already. They are added up.
"""


def _in_any_form(name: bytes) -> bytes:
    """A pattern for a name whose characters may be percent-encoded, in upper case or in lower case."""
    return b"".join(
        b"(?:%b|%%(?:%02x|%02x))" % (re.escape(bytes((char,))), char, bytes((char,)).upper()[0]) for char in name
    )


NAMED = _in_any_form(NAME)
ANYWHERE = re.compile(NAMED, re.IGNORECASE)
ENCODED_LETTER = re.compile(rb"%(?:2d|[46][13589cdef]|[57][02-7])")
PARAMETER = re.compile(rb"(?:\+|%%20)*%b(?:(?:\[|%%5b)[^=]*)?(?:=(.*))?" % NAMED, re.IGNORECASE | re.DOTALL)
"""As apps decode it: PHP drops spaces before a name, and what follows a bracket is an index to many."""
PAIR = re.compile(rb"[ \t]*%b(?:(?:-|%%2d)[0-9]+)?[ \t]*(?:=(.*))?" % NAMED, re.IGNORECASE | re.DOTALL)
NESTED = re.compile(
    rb"((?:(?<![a-z0-9_-])|(?<=3f)|(?<=26)|(?<=3b))%b(?:(?:-|%%(?:25)*2d)[0-9]+)?(?:=|%%(?:25)*3d))"
    rb"(?:[a-z0-9_-]|%%(?:25)*(?:2d|5f))+" % NAMED,
    re.IGNORECASE,
)
"""A link inside of something else, such as the parameter in which an app keeps where a visitor wants to go.

Or a cookie: of a server in front that joins cookies with a comma, or copies them to another field.
"""

SEPARATORS = re.compile(rb"([&;])")
"""Some apps split a query at semicolons, too."""
ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")

DASH, PERCENT = b"-%"


class Tokens(NamedTuple):
    """The values in a request, None where it has none. `link`: the last one in the query.

    `cookies`: by whole name; another subdomain can set one of the same name, so there may be several.
    """

    link: bytes | None
    field: bytes | None
    cookies: dict[bytes, list[bytes]]

    @property
    def explicit(self) -> bool:
        """Whether the request itself asks for a preview, not only its browser."""
        return self.field is not None or self.link not in (None, b"off")


def mentioned(text: bytes) -> int:
    """What a search may find: A_TOKEN, A_PIN or their sum, 0 for nothing. The others are no matter here.

    It is asked of each new cookie and query, so it must cost little: a look for one byte costs a third of others.
    """
    encoded = PERCENT in text
    if not encoded and DASH not in text:
        return 0
    text = text.lower()
    found = 0
    if text.find(OURS) >= 0:
        found = A_TOKEN * (text.find(NAME) >= 0) + A_PIN * (text.find(PIN) >= 0)
    if encoded and not found & A_TOKEN and ENCODED_LETTER.search(text) and ANYWHERE.search(text):
        found += A_TOKEN
    return found


def taken(target: bytes, block: bytes) -> tuple[bytes, bytes, Tokens | None]:
    """`target` and the lines of a head, which are well-formed, without tokens; and these, None if there are none."""
    target, link = without(target)
    fields: list[bytes] = []
    cookies: dict[bytes, list[bytes]] = {}
    lines = filter(None, (_clean(line, fields, cookies) for line in block[:-4].split(b"\r\n")))
    block = b"".join(b"%b\r\n" % line for line in lines) + b"\r\n"
    field = b",".join(fields) if fields else None
    found = link is not None or field is not None or cookies
    return target, block, Tokens(link, field, cookies) if found else None


def without(url: bytes) -> tuple[bytes, bytes | None]:
    """The URL without our parameter, all else byte for byte; and its last value, None if it has none."""
    path, _, rest = url.partition(b"?")
    query, hash_sign, fragment = rest.partition(b"#")
    values = []
    kept = []
    parts = SEPARATORS.split(query)
    for separator, part in zip([b"", *parts[1::2]], parts[::2], strict=True):
        if found := PARAMETER.fullmatch(part):
            values.append(decoded(found[1] or b""))
        else:
            kept.append(separator + part)
    if values:
        query = b"".join(kept)
        if PARAMETER.fullmatch(parts[0]):
            query = query[1:]
        url = path + (b"?" + query if query else b"") + hash_sign + fragment
    return NESTED.sub(rb"\1", url), values[-1] if values else None


def _clean(line: bytes, fields: list[bytes], cookies: dict[bytes, list[bytes]]) -> bytes:
    """What is left of a line of a head, perhaps nothing."""
    if not mentioned(line) & A_TOKEN:
        return line
    name, _, value = line.partition(b":")
    kind = name.lower()
    if kind == NAME:
        fields.append(value.strip(b" \t"))
        return b""
    if kind == b"cookie":
        kept = _other_cookies(value.split(b";"), cookies)
        return b"%b: %b" % (name, NESTED.sub(rb"\1", kept)) if kept else b""
    return b"%b:%b" % (name, without(value)[0])


def _other_cookies(pairs: Iterable[bytes], cookies: dict[bytes, list[bytes]]) -> bytes:
    kept = []
    for pair in pairs:
        if found := PAIR.fullmatch(pair):
            name = decoded(pair.partition(b"=")[0].strip(b" \t")).lower()
            cookies.setdefault(name, []).append(decoded((found[1] or b"").strip(b' \t"')))
        else:
            kept.append(pair)
    return b";".join(kept).strip(b" \t")


def decoded(text: bytes) -> bytes:
    return ENCODED.sub(lambda found: bytes((int(found[1], 16),)), text)
