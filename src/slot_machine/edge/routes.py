"""Traefik's dynamic configuration: the routes of each app and of the edge itself, in one file. Pure.

Nothing is ever pasted into a text: names have passed `core.domains`, and the files are serialised.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from slot_machine.edge.settings import EdgeSettings
from slot_machine.edge.static import ADMIN, HTTP, HTTPS, resolver_of
from slot_machine.edge.wire import Wish

SECRET_FIELD = "X-Slot-Machine-Edge"
TOKEN_FIELD = "X-Slot-Machine-Token"
PROBE = "/.well-known/slot-machine-edge/"
NOTHING = "nothing"
ALREADY = "already"
"""Answers a request over HTTP of which a trusted proxy says that its visitor came by HTTPS. A redirect would lead the
visitor there once more."""
NOBODY = ["255.255.255.255/32"]
HIGH = 1_000_000
"""Priority of a route that goes before those of apps."""

IDLE = "30s"
"""Well below the 75 s after which the proxy closes an idle connection: a POST must not meet a closing one."""

INTERMEDIATE = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
"""Those of Mozilla's intermediate profile that Go has. Go chooses those of TLS 1.3 itself."""

Objects = dict[str, object]

TO_APPS: Objects = {
    "maxIdleConnsPerHost": 512,
    "forwardingTimeouts": {"dialTimeout": "10s", "responseHeaderTimeout": "0s", "idleConnTimeout": IDLE},
}
"""How Traefik keeps its connections to the proxies of apps."""

TLS_OPTIONS: Objects = {
    "default": {"minVersion": "VersionTLS12", "cipherSuites": list(INTERMEDIATE), "sniStrict": True}
}


class Routes(NamedTuple):
    """Those of an app. Traefik must know all `routers` before it counts as served."""

    content: dict[str, Objects]
    routers: tuple[str, ...]


def merged(parts: Iterable[Routes]) -> bytes:
    """The contents of the file. No two parts have a name in common."""
    whole: dict[str, dict[str, object]] = {"http": {}, "tls": {}}
    for part in parts:
        for kind, objects in part.content.items():
            for group, content in objects.items():
                if isinstance(content, dict):
                    whole[kind].setdefault(group, {}).update(content)  # type: ignore[attr-defined]
                else:
                    whole[kind].setdefault(group, []).extend(content)  # type: ignore[attr-defined]
    return msgspec.json.encode(whole)


def key_of(uid: int, data: str) -> str:
    """Of an app: what it has in the file is named by it."""
    return hashlib.sha256(f"{uid}:{data}".encode()).hexdigest()[:16]


def own(settings: EdgeSettings, token: str) -> Routes:
    """What the edge itself answers: Traefik's API to who has the token, and the probe by which it finds itself."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    probe = f"probe-{digest[:8]}"
    routers: Objects = {
        f"admin-{digest[:8]}": {
            "entryPoints": [ADMIN],
            "rule": f"Header(`{TOKEN_FIELD}`, `{token}`)",
            "service": "api@internal",
        },
        probe: {
            "entryPoints": [HTTP],
            "rule": f"Path(`{PROBE}{digest}`)",
            "priority": HIGH,
            "middlewares": ["probe"],
            "service": "noop@internal",
        },
    }
    answer = {"regex": ".*", "replacement": f"https://edge.invalid/{digest}"}
    https = {"scheme": "https", "permanent": True, "port": str(settings.https_port)}
    text: dict[str, Objects] = {
        "http": {
            "routers": routers,
            "middlewares": {
                "https": {"redirectScheme": https},
                "probe": {"redirectRegex": answer},
                NOTHING: {"ipAllowList": {"sourceRange": NOBODY, "rejectStatusCode": 404}},
                ALREADY: {"ipAllowList": {"sourceRange": NOBODY, "rejectStatusCode": 421}},
            },
            "serversTransports": {"app": TO_APPS},
        },
        "tls": {"options": TLS_OPTIONS},
    }
    return Routes(text, tuple(routers))


def probe_path(token: str) -> tuple[str, str]:
    """What is asked for on the HTTP port, and what the answer's Location ends with if this edge gave it."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    return PROBE + digest, digest


def of_app(settings: EdgeSettings, key: str, wish: Wish, asks: Callable[[str], bool]) -> Routes:
    """`asks`: whether the router of that name tells Traefik to get a certificate."""
    content = msgspec.json.encode([wish, [asks(name) for name in wish.names], settings.https_port])
    digest = hashlib.sha256(content).hexdigest()[:8]
    routers: Objects = {}
    middlewares: Objects = {f"{key}-in": {"headers": {"customRequestHeaders": _added(wish)}}}
    for number, name in enumerate(wish.names):
        target = wish.redirects.get(name, "")
        tls: Objects = {}
        if wish.tls == "acme" and asks(name):
            tls = {"certResolver": resolver_of(settings.acme_ca), "domains": [{"main": name}]}
        moved = f"{key}-to-{number}"
        if target:
            middlewares[moved] = {"redirectRegex": _redirect(settings, target)}
        # A name that has only the webhook serves nothing else.
        inside = moved if target else f"{key}-in" if name in wish.domains else NOTHING
        rule = f"Host(`{name}`)"
        secure = {"entryPoints": [HTTPS], "rule": rule, "middlewares": [inside], "service": key, "tls": tls}
        outside = [moved if target else "https", ALREADY]
        plain = {"entryPoints": [HTTP], "rule": rule, "middlewares": outside, "service": "noop@internal"}
        routers[f"{key}-{digest}-{number}-https"], routers[f"{key}-{digest}-{number}-http"] = secure, plain
    services: Objects = {key: _service(wish.port)}
    if hook := wish.hook:
        name = f"{key}-{digest}-hook"
        rule = f"Host(`{hook.domain}`) && Path(`{hook.path}`)"
        routers[name] = {"entryPoints": [HTTPS], "rule": rule, "priority": HIGH, "service": f"{key}-hook", "tls": {}}
        services[f"{key}-hook"] = _service(hook.port)
    http: Objects = {"routers": routers, "middlewares": middlewares, "services": services}
    text = {"http": http}
    if wish.tls != "acme":
        text["tls"] = {"certificates": [{"certFile": wish.cert, "keyFile": wish.key}]}
    return Routes(text, tuple(routers))


def _service(port: int) -> Objects:
    return {
        "loadBalancer": {
            "servers": [{"url": f"http://127.0.0.1:{port}"}],
            "serversTransport": "app",
            "responseForwarding": {"flushInterval": "-1ms"},
        }
    }


def _added(wish: Wish) -> dict[str, str]:
    """Fields of each request to the app. An empty one is removed: a stranger's ids end here."""
    added = {"X-Request-Id": ""}
    if wish.secret:
        added[SECRET_FIELD] = wish.secret
    return added


def _redirect(settings: EdgeSettings, target: str) -> Objects:
    port = "" if settings.https_port == 443 else f":{settings.https_port}"
    return {"regex": "^https?://[^/]+(.*)$", "replacement": f"https://{target}{port}${{1}}", "permanent": True}


TEMPLATE = re.compile(rb"\{\{")
"""Traefik takes its files for templates, in which this begins a command."""
