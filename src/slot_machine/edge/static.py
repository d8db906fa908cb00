"""Traefik's static configuration, which holds until it is started anew. Pure."""

import hashlib
from pathlib import Path

import msgspec

from slot_machine.edge.settings import EdgeSettings

HTTP, HTTPS, ADMIN = "http", "https", "admin"
"""Entry points. The listening sockets that Traefik inherits have the same names."""

LONGEST_UPLOAD = "12h"
"""Traefik has one limit for the head and the body of a request."""
REDIRECT_HEAD = "30s"
"""On the HTTP port, nobody uploads anything."""
GRACE = "1h"
"""So long a Traefik that was replaced serves its WebSockets and downloads."""

ROUTES = "routes"
FILE = "routes.yml"
"""The only file there that Traefik reads: in a folder, any unreadable one would drop the routes of all apps."""


def resolver_of(acme_ca: str) -> str:
    """Each authority has a resolver and a storage of its own: a certificate of a trial must not outlive it."""
    return f"acme-{hashlib.sha256(acme_ca.encode()).hexdigest()[:8]}"


def storage_of(settings: EdgeSettings) -> Path:
    return Path(settings.state, f"{resolver_of(settings.acme_ca)}.json")


def static(settings: EdgeSettings, *, http3: bool) -> bytes:
    """Traefik reads JSON as YAML."""
    https = entry_point(settings, settings.https_port, LONGEST_UPLOAD)
    if http3:
        https["http3"] = {"advertisedPort": settings.https_port}
    configuration = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {
            HTTP: entry_point(settings, settings.http_port, REDIRECT_HEAD),
            HTTPS: https,
            ADMIN: {"address": "127.0.0.1:0", "http": {"aliasHeadersStrategy": "delete"}},
        },
        "providers": {
            "providersThrottleDuration": "100ms",
            "file": {"filename": str(Path(settings.state, ROUTES, FILE)), "watch": True},
        },
        "certificatesResolvers": {
            resolver_of(settings.acme_ca): {"acme": acme(settings, storage_of(settings), settings.acme_ca_roots)}
        },
        "api": {"dashboard": False},
        "log": {"level": "INFO", "format": "json"},
    }
    return msgspec.json.encode(configuration)


def acme(settings: EdgeSettings, storage: Path, roots: str) -> dict[str, object]:
    """How a resolver gets certificates. `roots`: a file, empty for those of the system."""
    alpn = settings.acme_challenge == "tls-alpn-01"
    made: dict[str, object] = {
        "caServer": settings.acme_ca,
        "storage": str(storage),
        "tlsChallenge" if alpn else "httpChallenge": {} if alpn else {"entryPoint": HTTP},
    }
    if settings.acme_email:
        made["email"] = settings.acme_email
    if roots:
        made["caCertificates"] = [roots]
    return made


def entry_point(settings: EdgeSettings, port: int, read_limit: str, grace: str = GRACE) -> dict[str, object]:
    return {
        "address": f"{f'[{settings.bind}]' if ':' in settings.bind else settings.bind}:{port}",
        "forwardedHeaders": {"trustedIPs": list(settings.trusted_proxies)},
        "http": {"aliasHeadersStrategy": "delete", "encodeQuerySemicolons": False, "sanitizePath": False},
        "transport": {
            "respondingTimeouts": {"readTimeout": read_limit, "writeTimeout": "0s", "idleTimeout": "75s"},
            "lifeCycle": {"requestAcceptGraceTimeout": "0s", "graceTimeOut": grace},
        },
    }
