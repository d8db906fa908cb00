"""The wishes that the edge holds, in files that outlive it: which app has which names, and whose it is."""

import logging
import os
import re
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from slot_machine.core import domains
from slot_machine.core.domains import BadDomain, canonical
from slot_machine.core.errors import EdgeRefused
from slot_machine.edge import certificates, folder
from slot_machine.edge.routes import key_of
from slot_machine.edge.wire import Held, Hook, Wish
from slot_machine.host.files.regular import open_regular
from slot_machine.host.user import account

SECRET = re.compile(r"[A-Za-z0-9_-]{20,100}")
PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")
MOST_OF_USER = 200
LEAST_RSA_BITS = 2048
"""CA/Browser Forum, Baseline Requirements, section 6.1.5."""
ROOT = 0

log = logging.getLogger(__name__)


class Wishes:
    def __init__(self, place: Path) -> None:
        """A file that can't be used is left out: it must not keep the other apps from being served."""
        self._place = place
        self.held: dict[str, Held] = {}
        for path in sorted(place.glob("*.json")):
            try:
                with os.fdopen(open_regular(path), "rb") as file:
                    held = msgspec.json.decode(file.read(), type=Held)
                self._check(held.uid, checked(held.wish))
            except (OSError, msgspec.MsgspecError, EdgeRefused, UnicodeDecodeError) as error:
                log.error("%s is left out: %s", path, error)
                continue
            self.held[key_of(held.uid, held.wish.data)] = held

    def names(self) -> Iterator[tuple[str, Held]]:
        for held in self.held.values():
            for name in held.wish.names:
                yield name, held

    def take(self, uid: int, wish: Wish) -> tuple[str, Wish]:
        """The key, and the wish in its canonical form. Raises EdgeRefused if it is wrong, or another app has a name."""
        wish = checked(wish)
        self._check(uid, wish)
        return key_of(uid, wish.data), wish

    def _check(self, uid: int, wish: Wish) -> None:
        taken = dict(self.names())
        for name in wish.names:
            other = taken.get(name)
            if other and (other.uid, other.wish.data) != (uid, wish.data):
                raise EdgeRefused(
                    f"{name} is held by app {other.wish.app} of {account.name(other.uid)}",
                    f"leave it out of one of them; root and {account.name(other.uid)} can take it from that app by"
                    f" `slot-machine edge remove {name}`",
                )
        mine = [held for held in self.held.values() if held.uid == uid and held.wish.data != wish.data]
        if len(mine) >= MOST_OF_USER:
            raise EdgeRefused(f"{account.name(uid)} has {MOST_OF_USER} apps at the edge already")

    def keep(self, key: str, held: Held) -> None:
        """Raises OSError."""
        folder.write(self._place / f"{key}.json", msgspec.json.encode(held))
        self.held[key] = held

    def drop(self, key: str) -> None:
        (self._place / f"{key}.json").unlink(missing_ok=True)
        self.held.pop(key, None)

    def key_with(self, domain: str) -> str:
        """Empty if nobody has that name."""
        return next((key for key, held in self.held.items() if domain in held.wish.names), "")


def checked(wish: Wish) -> Wish:
    """With all names in their canonical form. Raises EdgeRefused."""
    try:
        domains.check(wish.domains, wish.redirects)
        own = tuple(map(canonical, wish.domains))
        redirects = {canonical(source): canonical(target) for source, target in wish.redirects.items()}
    except BadDomain as error:
        raise EdgeRefused(str(error)) from None
    if not own:
        raise EdgeRefused("there is no domain")
    hook = _checked_hook(wish.hook, redirects) if wish.hook else None
    if not 0 < wish.port < 65_536:
        raise EdgeRefused(f"{wish.port} is no port")
    if wish.secret and not SECRET.fullmatch(wish.secret):
        raise EdgeRefused("the secret is malformed")
    if not wish.app.isprintable() or not wish.data.startswith("/") or not wish.data.isprintable():
        raise EdgeRefused("the app's name or data folder is malformed")
    if "{{" in wish.cert + wish.key:
        raise EdgeRefused("the certificate is malformed")
    _check_key(wish.cert)
    return msgspec.structs.replace(wish, domains=own, redirects=redirects, hook=hook)


def _check_key(cert: str) -> None:
    """Raises EdgeRefused."""
    with suppress(ValueError, IndexError):  # What can't be read is told with the state of the names.
        bits = certificates.rsa_bits(cert.encode()) if cert else 0
        if 0 < bits < LEAST_RSA_BITS:
            raise EdgeRefused(
                f"the key of the certificate in tls.cert has {bits} bits, which browsers refuse",
                f"get a certificate with an RSA key of at least {LEAST_RSA_BITS} bits, or with an ECDSA key",
            )


def _checked_hook(hook: Hook, redirects: Container[str]) -> Hook:
    """Raises EdgeRefused."""
    try:
        domain = canonical(hook.domain)
    except BadDomain as error:
        raise EdgeRefused(str(error)) from None
    if domain in redirects:
        raise EdgeRefused(f"webhook: {domain} is redirected, so nothing can be served there")
    if not PATH.fullmatch(hook.path) or not 0 < hook.port < 65_536:
        raise EdgeRefused(f"webhook: {hook.path} is no path of letters, digits, dots, dashes and slashes")
    return msgspec.structs.replace(hook, domain=domain)
