"""What daemons and commands ask of the edge, and its answers: one JSON object on a line each, over its Unix socket."""

from typing import Literal

import msgspec

Source = Literal["acme", "internal", "own"]
State = Literal["waiting", "ordering", "failed", "valid", "overdue"]


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """One path of one name, which leads to another port: that of the daemon's webhook."""

    domain: str
    path: str
    port: int


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon asks for. `cert` and `key` are PEM texts, for `own` certificates.

    The edge adds the `secret` to each request, and so proves to the app's proxy that it is the sender.
    """

    app: str
    data: str
    port: int
    domains: tuple[str, ...]
    redirects: dict[str, str] = {}
    tls: Source = "acme"
    cert: str = ""
    key: str = ""
    http3: bool = False
    secret: str = ""
    hook: Hook | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Each once."""
        hook = (self.hook.domain,) if self.hook else ()
        return tuple(dict.fromkeys((*self.domains, *self.redirects, *hook)))


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A wish, with the user whose process handed it in, as the kernel knows it."""

    uid: int
    wish: Wish


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`check` says whether `hold` would be refused. `withdraw` ends a wish. `remove` does so by a domain.

    `probe` is a `status` after all that waits was tried again. `renew` puts another Traefik in the place of this one.
    """

    op: Literal["check", "hold", "withdraw", "remove", "status", "probe", "renew"]
    wish: Wish | None = None
    data: str = ""
    domain: str = ""


class DomainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Times are RFC 3339, and empty if there is no certificate. `detail` says what a person has to know."""

    domain: str
    state: State
    detail: str = ""
    expires: str = ""


class AppStatus(msgspec.Struct, frozen=True, kw_only=True):
    app: str
    user: str
    data: str
    port: int
    domains: tuple[DomainStatus, ...]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal has an `error`. `apps`: those that the caller may see; after `hold` its own."""

    error: str = ""
    hint: str = ""
    apps: tuple[AppStatus, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    traefik: str = ""
    """Its version."""
    old_connections: int = 0
    """After `renew`: those that the replaced Traefik still serves."""
