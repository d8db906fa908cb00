"""Which assets bear a digest in their names, so that another version can't mean other bytes by the same name.

The digests are those that bundlers make: webpack, Vite, Rollup, esbuild, Parcel, Next.js, Sprockets, Propshaft, Django,
Laravel, Phoenix. A name that only looks like one does little harm: it is served for a few versions longer.
"""

import re

LEAST_HEX = 6
SURELY_HEX = 8
BASE64 = 8
"""The length of Vite's and esbuild's digests, in characters."""

INDEX = re.compile(r"manifest|import-?map|staticfiles\.json|service-?worker", re.IGNORECASE)
"""Files that say which names belong together. An old one breaks the new version, even with a digest in its name."""
OF_BUILD = re.compile(r"_\w*Manifest\.(js|json)")
"""Next.js keeps these in a folder whose name is the id of the build."""

DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{4}|\d{6})?")
SIZE = re.compile(r"\d+x\d+")
BASE32 = re.compile(r"[A-Z2-7]{8}")
TURBOPACK = re.compile(r"(^|[-_.])[0-3][0-9a-z_~-]{12}$")
NUMBERED = re.compile(r"[a-z_-]*\d*|\d*[a-z_-]*")
"""A word with a number before or after it."""
SEPARATORS = re.compile(r"[-._~@+]")


def is_digested(path: str) -> bool:
    """`path` is relative to the folder of assets. A digest may also be in the name of a folder."""
    *folders, name = path.split("/")
    if any(part.startswith(".") for part in (*folders, name)):
        return False
    if any(map(_is_build, folders)) or (folders and OF_BUILD.fullmatch(name)):
        return True
    if INDEX.search(name):
        return False
    parts = name.split(".")
    return (
        any(map(_is_hex, SEPARATORS.split(name)))
        or any(map(_ends_in_base64, parts))
        or any(map(TURBOPACK.search, parts))
        or any(map(_is_mixed, SEPARATORS.split(name)))
    )


def _is_build(folder: str) -> bool:
    tokens = SEPARATORS.split(folder)
    return any(len(token) >= SURELY_HEX and _is_hex(token) for token in tokens) or (
        len(folder) >= 2 * BASE64 and _is_mixed(folder)
    )


def _is_hex(token: str) -> bool:
    """Whether it is a hexadecimal number, and neither a word nor a date."""
    if len(token) < LEAST_HEX or not re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", token) or token.isalpha():
        return False
    if token.isdigit():
        return len(token) >= SURELY_HEX and not DATE.fullmatch(token)
    return True


def _ends_in_base64(part: str) -> bool:
    """Whether it is eight random letters and digits, or ends with them behind a separator."""
    last, before = part[-BASE64:], part[:-BASE64]
    if len(last) < BASE64 or (before and before[-1] not in "-_~") or not re.fullmatch(r"[\w-]+", last, re.ASCII):
        return False
    if BASE32.fullmatch(last):
        return bool(before) or not last.isalpha()
    is_cased_like_a_word = last[1:].islower() or last[1:].isupper() or last.isdigit()
    # Other letters are enough, even in `DataGrid`: a fifth of all digests have no number in them.
    return not is_cased_like_a_word or not (NUMBERED.fullmatch(last.lower()) or SIZE.fullmatch(last))


def _is_mixed(token: str) -> bool:
    """Whether small and capital letters and numbers are mixed in a long name."""
    kinds = (str.islower, str.isupper, str.isdigit)
    return len(token) > BASE64 and all(any(map(kind, token[:-1])) for kind in kinds)
