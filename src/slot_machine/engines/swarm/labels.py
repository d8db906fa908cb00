"""What the labels of a web service tell the swarm's edge: its domains, where they lead, and a maintenance. Pure.

Traefik reads them from the service, so they come and go with it, and a rollback brings back those of before. What they
name with `@file` is in the edge's own configuration.
"""

import re
from collections.abc import Iterable, Mapping

from slot_machine.core.domains import canonical
from slot_machine.core.errors import Impossible
from slot_machine.edge.static import HTTP, HTTPS
from slot_machine.engines.shape import App

NETWORK = "slot-machine-edge"
"""All web services are on it, and the edge."""
RESOLVER = "acme"
TRANSPORT, IN, MAINTENANCE, TO_HTTPS = "app@file", "in@file", "maintenance@file", "https@file"
ANY = "*"
"""In place of a domain: the app answers for any host, over HTTP."""
ANY_RULE = "PathPrefix(`/`)"
ANY_PRIORITY = 2
"""Above the edge's own answer for hosts that nobody has, below all domains."""

HOST = re.compile(r"Host\(`([^`]+)`\)")
RULE = re.compile(r"traefik\.http\.routers\.[^.]+\.rule")


def service_of(name: str) -> str:
    """The name of an app's web service, as a stack gives it."""
    return f"{name}_web"


def labels(app: App, maintenance: bool) -> dict[str, str]:
    """Values may have a `$`. Raises Impossible."""
    refuse(app)
    service = f"traefik.http.services.{app.name}.loadbalancer"
    made = {
        "traefik.enable": "true",
        "traefik.swarm.network": NETWORK,
        # By name, so that each connection asks anew who is there: no rollout waits for Traefik to hear of it.
        f"{service}.server.url": f"http://{service_of(app.name)}:{app.daemon.port}",
        f"{service}.serverstransport": TRANSPORT,
        f"{service}.responseforwarding.flushinterval": "-1ms",
    }
    inside = MAINTENANCE if maintenance else IN
    domains = [canonical(domain) for domain in app.daemon.domains]
    if not domains:
        router = f"traefik.http.routers.{app.name}"
        made |= _router(router, HTTP, ANY_RULE, app.name, inside) | {f"{router}.priority": str(ANY_PRIORITY)}
        return made
    redirects = {canonical(source): canonical(target) for source, target in app.daemon.redirects.items()}
    for number, name in enumerate([*domains, *redirects]):
        router, rule, before = f"traefik.http.routers.{app.name}-{number}", f"Host(`{name}`)", inside
        if target := redirects.get(name):
            before = f"{app.name}-to-{number}"
            made |= _redirect(f"traefik.http.middlewares.{before}.redirectregex", target)
        made |= _router(router, HTTPS, rule, app.name, before) | {f"{router}.tls": "true"}
        if app.daemon.tls == "acme":
            made[f"{router}.tls.certresolver"] = RESOLVER
            made[f"{router}.tls.domains[0].main"] = name
        made |= _router(f"{router}-http", HTTP, rule, "noop@internal", before if target else TO_HTTPS)
    return made


def refuse(app: App) -> list[str]:
    """Warnings of what the swarm's edge leaves out. Raises Impossible for what it can't do."""
    daemon = app.daemon
    if daemon.domains and daemon.tls == "internal":
        what = "`tls`: the edge of a swarm has no authority of its own"
        raise Impossible(what, 'use "acme", with an `acme_ca` of your own in edge.json')
    if daemon.redirects and not daemon.domains:
        raise Impossible("`redirects` lead to `domains`, and there are none", "add `domains`, or remove `redirects`")
    warnings = []
    if daemon.domains and daemon.http3:
        warnings.append("`http3` is for one machine: the edge of a swarm speaks HTTP/1.1 and HTTP/2")
    if daemon.domains and daemon.tls != "acme":
        warnings.append("`tls`: the swarm's edge has the certificates that its edge.json names, not these files")
    return warnings


def claims(of: Mapping[str, str]) -> set[str]:
    """For which hosts a service with these labels answers, `ANY` among them. Also for services that are not ours."""
    rules = [value for name, value in of.items() if RULE.fullmatch(name)]
    return {host.lower() for rule in rules for host in HOST.findall(rule)} | ({ANY} if ANY_RULE in rules else set())


def taken(wanted: Mapping[str, str], others: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[str, str] | None:
    """The first host that another service answers for, and that service's name. `others`: name and labels of each."""
    own = claims(wanted)
    for name, has in others:
        if both := sorted(own & claims(has)):
            return both[0], name
    return None


def _router(router: str, entry_point: str, rule: str, service: str, middleware: str) -> dict[str, str]:
    return {
        f"{router}.rule": rule,
        f"{router}.entrypoints": entry_point,
        f"{router}.service": service,
        f"{router}.middlewares": middleware,
    }


def _redirect(middleware: str, target: str) -> dict[str, str]:
    return {
        f"{middleware}.regex": "^https?://[^/]+(.*)$",
        f"{middleware}.replacement": f"https://{target}${{1}}",
        f"{middleware}.permanent": "true",
    }
