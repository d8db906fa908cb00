"""The files of the swarm's edge: those of Traefik, of the proxy before the engine's API, and the stack. Pure."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from slot_machine.edge.routes import TLS_OPTIONS, Objects
from slot_machine.edge.static import HTTP, HTTPS, LONGEST_UPLOAD, acme, entry_point, resolver_of
from slot_machine.engines.swarm.edge_settings import SwarmEdge
from slot_machine.engines.swarm.labels import NETWORK, RESOLVER

STACK = "slot-machine-edge"
TRAEFIK, API = "traefik", "api"
API_NETWORK = f"{STACK}-api"
NODE = "slot-machine.edge"
"""The label of the nodes that have the edge."""
ACME = "slot-machine.edge.acme"
"""The label of its service that says whether it orders certificates."""
DIGEST = "slot-machine.edge.digest"
"""The label of its service that says of what it was made: after a rollback by the engine, it is another one."""
API_PORT = 2375
SOCKET = "/var/run/docker.sock"
FOLDER, STORAGE = Path("/etc/traefik"), Path("/acme")
STATIC, DYNAMIC, RULES, ROOTS = "traefik.yml", "dynamic.yml", "haproxy.cfg", "roots.pem"
REFRESH = "2s"
"""How often Traefik asks for new domains. No rollout waits for it."""
DIAL_LIMIT = "5s"
"""For all copies together. One that does not answer gets 2 s of it."""
ATTEMPTS = 3
"""Traefik tries again only what no copy has got a byte of."""
RETRY_AFTER_S = 30
GRACE = "2s"
"""For requests when Traefik ends: its ports are closed meanwhile, and the next one begins afterwards."""
STOP_LIMIT = "10s"
LOG = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}

API_RULES = f"""\
global
    maxconn 200
defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 30s
    timeout http-request 5s
frontend api
    bind :{API_PORT}
    acl reads method GET HEAD
    acl needed path_reg ^(/v1\\.[0-9]+)?/(_ping|version|services|tasks|networks|nodes/[a-z0-9]+)$
    http-request deny unless reads needed
    default_backend engine
backend engine
    server engine unix@{SOCKET}
"""


class Certificate(NamedTuple):
    """PEM texts."""

    cert: str
    key: str


class Kept(NamedTuple):
    """What the engine keeps for the edge's services. It can't be changed, so its digest is part of its name."""

    kind: str
    """`config` or `secret`."""
    content: str

    @property
    def name(self) -> str:
        return f"{STACK}-{hashlib.sha256(self.content.encode()).hexdigest()[:16]}"


def static(edge: SwarmEdge) -> str:
    # An app without domains has its uploads on the HTTP port.
    http, https = (entry_point(edge, port, LONGEST_UPLOAD, GRACE) for port in (80, 443))
    made: Objects = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {HTTP: http, HTTPS: https},
        "providers": {
            "providersThrottleDuration": "100ms",
            "file": {"filename": str(FOLDER / DYNAMIC), "watch": False},
            "swarm": {
                "endpoint": f"tcp://{STACK}_{API}:{API_PORT}",
                "exposedByDefault": False,
                "network": NETWORK,
                "refreshSeconds": REFRESH,
            },
        },
        "api": {"dashboard": False},
        "log": {"level": "INFO", "format": "json"},
    }
    if orders(edge):
        roots = str(FOLDER / ROOTS) if edge.acme_ca_roots else ""
        storage = STORAGE / f"{resolver_of(edge.acme_ca)}.json"
        made["certificatesResolvers"] = {RESOLVER: {"acme": acme(edge, storage, roots)}}
    return msgspec.json.encode(made).decode()


def orders(edge: SwarmEdge) -> bool:
    """Whether it gets certificates. Several can't: the authority asks any of them for what only one knows."""
    return len(edge.nodes) <= 1


def dynamic(edge: SwarmEdge, certificates: int) -> str:
    """What the labels of services name, and what hosts that nobody has are answered. `certificates`: how many."""
    middlewares: Objects = {
        "in": {"chain": {"middlewares": ["strange", "again"]}},
        # An empty field is removed: a stranger's ids end here.
        "strange": {"headers": {"customRequestHeaders": {"X-Request-Id": ""}}},
        "again": {"retry": {"attempts": ATTEMPTS, "initialInterval": "100ms"}},
        "https": {"redirectScheme": {"scheme": "https", "permanent": True, "port": str(edge.https_port)}},
        "maintenance": {"chain": {"middlewares": ["later", "nobody"]}},
        "later": {"headers": {"customResponseHeaders": {"Retry-After": str(RETRY_AFTER_S)}}},
        "nobody": {"ipAllowList": {"sourceRange": ["255.255.255.255/32"], "rejectStatusCode": 503}},
    }
    none = {"rule": "PathPrefix(`/`)", "priority": 1, "middlewares": ["maintenance"], "service": "noop@internal"}
    app = {
        # A connection that is kept would lead to its copy beyond the copy's end.
        "maxIdleConnsPerHost": -1,
        "forwardingTimeouts": {"dialTimeout": DIAL_LIMIT, "responseHeaderTimeout": "0s"},
    }
    routers: Objects = {
        "none": none | {"entryPoints": [HTTP]},
        "none-https": none | {"entryPoints": [HTTPS], "tls": {}},
    }
    made: Objects = {
        "http": {"middlewares": middlewares, "routers": routers, "serversTransports": {"app": app}},
        "tls": {"options": TLS_OPTIONS},
    }
    if certificates:
        made["tls"] = {"options": TLS_OPTIONS, "certificates": [_files(number) for number in range(certificates)]}
    return msgspec.json.encode(made).decode()


def _files(number: int) -> dict[str, str]:
    return {"certFile": f"/run/secrets/cert-{number}", "keyFile": f"/run/secrets/key-{number}"}


def kept(edge: SwarmEdge, certificates: list[Certificate], roots: str) -> dict[str, Kept]:
    """By the file that it becomes."""
    made = {
        STATIC: Kept("config", static(edge)),
        DYNAMIC: Kept("config", dynamic(edge, len(certificates))),
        RULES: Kept("config", API_RULES),
    }
    if roots:
        made[ROOTS] = Kept("config", roots)
    for number, own in enumerate(certificates):
        made[f"cert-{number}"], made[f"key-{number}"] = Kept("secret", own.cert), Kept("secret", own.key)
    return made


def made_of(edge: SwarmEdge, files: Mapping[str, Kept]) -> str:
    """A digest of all that Traefik's service was made of, for its label."""
    made = [edge.image, edge.http_port, edge.https_port, *sorted(each.name for each in files.values())]
    return hashlib.sha256(msgspec.json.encode(made)).hexdigest()[:16]


def stack(edge: SwarmEdge, files: Mapping[str, Kept]) -> str:
    """Of both services, as `docker stack deploy` takes it. JSON is YAML."""
    made: Objects = {
        "version": "3.8",
        "services": {TRAEFIK: _traefik(edge, files), API: _api(edge)},
        "networks": {
            "edge": {"external": True, "name": NETWORK},
            "api": {"external": True, "name": API_NETWORK},
        },
        "volumes": {"acme": {"name": f"{STACK}-acme"}},
        "configs": {file: _external(each) for file, each in files.items() if each.kind == "config"},
        "secrets": {file: _external(each) for file, each in files.items() if each.kind == "secret"},
    }
    return msgspec.json.encode(made).decode()


def _external(kept: Kept) -> Objects:
    return {"external": True, "name": kept.name}


def _traefik(edge: SwarmEdge, files: Mapping[str, Kept]) -> Objects:
    configs = [{"source": file, "target": str(FOLDER / file)} for file, each in files.items() if each.kind == "config"]
    secrets = [{"source": file, "target": file} for file, each in files.items() if each.kind == "secret"]
    return _least(edge.image, "NET_BIND_SERVICE") | {
        "command": [f"--configFile={FOLDER / STATIC}"],
        "networks": ["edge", "api"],
        "ports": [
            {"target": target, "published": published, "protocol": "tcp", "mode": "host"}
            for target, published in ((80, edge.http_port), (443, edge.https_port))
        ],
        "configs": configs,
        "secrets": secrets,
        "volumes": [{"type": "volume", "source": "acme", "target": str(STORAGE)}],
        # Each request has a connection of its own: else, 470 a second to one copy would use up all local ports.
        "sysctls": {"net.ipv4.tcp_tw_reuse": "1", "net.ipv4.ip_local_port_range": "10000 65535"},
        "stop_grace_period": STOP_LIMIT,
        "deploy": {
            "mode": "global",
            "endpoint_mode": "dnsrr",
            "labels": {NODE: "yes", ACME: "yes" if orders(edge) else "no", DIGEST: made_of(edge, files)},
            "placement": {"constraints": [f"node.labels.{NODE}==yes"]},
            # Two at once can't have the ports of a node.
            "update_config": {"order": "stop-first", "parallelism": 1, "failure_action": "rollback"},
            "rollback_config": {"order": "stop-first", "parallelism": 1},
            "restart_policy": {"condition": "any", "delay": "1s"},
        },
    }


def _api(edge: SwarmEdge) -> Objects:
    target = f"/usr/local/etc/haproxy/{RULES}"
    return _least(edge.api_image) | {
        "command": ["-db", "-f", target],
        "user": "0:0",
        "networks": ["api"],
        "configs": [{"source": RULES, "target": target}],
        "volumes": [{"type": "bind", "source": SOCKET, "target": SOCKET}],
        "deploy": {
            "replicas": 1,
            "endpoint_mode": "dnsrr",
            "labels": {NODE: "yes"},
            "placement": {"constraints": ["node.role==manager"]},
            "update_config": {"order": "start-first", "parallelism": 1, "failure_action": "pause"},
            "restart_policy": {"condition": "any", "delay": "1s"},
        },
    }


def _least(image: str, *capabilities: str) -> Objects:
    """A service with no more rights than it needs."""
    return {
        "image": image,
        "cap_drop": ["ALL"],
        "cap_add": list(capabilities),
        "read_only": True,
        "logging": LOG,
    }
