"""Names of hosts, in the one form in which they are compared: A-labels, lower case, no dot at the end (RFC 5890)."""

import re
from collections.abc import Mapping, Sequence

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LONGEST = 253
MOST = 100
"""Names of one app."""
DIFFERING = "ßς\u200c\u200d"
"""Characters that the two standards of internationalised names write differently (RFC 5894 section 7.2)."""


class BadDomain(ValueError):
    pass


def canonical(given: str) -> str:
    """Raises BadDomain, also for addresses and wildcards."""
    name = given.removesuffix(".").lower()
    if "*" in name:
        raise BadDomain(f"{given!r}: a wildcard needs a certificate by DNS, which the edge can't get: name each domain")
    if any(char in DIFFERING for char in name):
        raise BadDomain(f"{given!r} has two forms on the internet: write the one that begins with xn--")
    try:
        name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        name = ""
    labels = name.split(".")
    if len(name) > LONGEST or not all(map(LABEL.fullmatch, labels)):
        raise BadDomain(f'{given!r} is no name of a host: write one such as "shop.example.com"')
    if labels[-1].isdigit() or re.fullmatch(r"0x[0-9a-f]*", labels[-1]):
        raise BadDomain(f"{given!r} is an address: certificates are for names")
    return name


def check(domains: Sequence[str], redirects: Mapping[str, str]) -> None:
    """Raises BadDomain: a name is there twice, or a redirect can't work."""
    own = [canonical(domain) for domain in domains]
    if len(own) + len(redirects) > MOST:
        raise BadDomain(f"more than {MOST} names")
    for name in own:
        if own.count(name) > 1:
            raise BadDomain(f"{name} is there twice")
    sources = [canonical(source) for source in redirects]
    for source, target in zip(sources, map(canonical, redirects.values()), strict=True):
        if source == target:
            raise BadDomain(f"{source} would be redirected to itself")
        if source in own:
            raise BadDomain(f"{source} is one of the domains, so it can't be redirected")
        if sources.count(source) > 1:
            raise BadDomain(f"{source} is redirected twice")
        if target not in own:
            raise BadDomain(f"{source} is redirected to {target}, which is none of the domains")
