"""Apps of many shapes for Kubernetes: by a name, what their slot-machine.json has beside the common fields."""

import json

from slot_machine.core.config_file import parse
from slot_machine.engines.shape import App, Values, image_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"
VALUES = Values({"DATABASE_URL": "postgres://u:secret-word@db/shop", "LINES": "one\ntwo"})

Fields = dict[str, object]

SHAPES: dict[str, tuple[Fields, Fields]] = {
    "plain": ({}, {}),
    "one replica": ({}, {"replicas": 1}),
    "host and range": ({"health_host": "shop.example.com", "health_status": "200-299"}, {}),
    "status of no httpGet": ({"health_status": 401}, {}),
    "own health port": ({"internal_port": 3001}, {}),
    "replace": ({"strategy": "replace"}, {"replicas": 1}),
    "limits": ({"memory_max_mb": 300, "cpu_weight": 400}, {}),
    "restarts": ({"restart_when_unhealthy": True, "health_interval_ms": 10_000}, {}),
    "no delay": ({}, {"stop_delay_ms": 0}),
    "workers": (
        {
            "processes": {
                "worker": {"command": "node worker.js", "count": 3, "memory_max_mb": 200},
                "beat_one": {"command": "node beat.js", "singleton": True, "stop_signal": "QUIT"},
                "off": {"command": "node off.js", "count": 0},
            }
        },
        {},
    ),
    "jobs": (
        {
            "cron": {
                "nightly": {"schedule": "@daily", "command": "node nightly.js"},
                "sundays_of_a_name_that_is_rather_long_": {
                    "schedule": "0 3 * * 5-7",
                    "command": "x",
                    "timeout_ms": 1500,
                },
            },
            "cron_timezone": "Europe/Zurich",
        },
        {},
    ),
    "release": ({"release_command": "npm run migrate"}, {}),
    "data on one node": ({"shared_dirs": ["uploads", "a/b"], "root": "web"}, {"replicas": 1}),
    "data on many nodes": ({"shared_dirs": ["uploads"]}, {"storage_class": "nfs", "storage_gb": 50}),
    "ingress": (
        {"domains": ["shop.example.com", "shop.example.org"], "redirects": {"www.example.com": "shop.example.com"}},
        {"ingress_class": "nginx", "issuer": "letsencrypt"},
    ),
    "own certificate": ({"domains": ["shop.example.com"], "tls": {"cert": "c.pem", "key": "k.pem"}}, {}),
    "gateway": (
        {"domains": ["shop.example.com"], "redirects": {"www.example.com": "shop.example.com"}},
        {"gateway": "infra/public"},
    ),
    "pull secret": ({}, {"pull_secret": "registry"}),
}


def app(fields: Fields | None = None, engine: Fields | None = None, release: int = 7, commit: str = COMMIT) -> App:
    """A shop with three replicas, unless the fields say otherwise."""
    common = {"start_command": "node server.js", "port": 3000}
    where = {"kind": "kubernetes", "replicas": 3, "registry": "registry.example.com/team"} | (engine or {})
    config, _ = parse(json.dumps(common | (fields or {}) | {"engine": where}), "slot-machine.json")
    assert config.daemon.engine
    return App(
        name="shop",
        commit=commit,
        image=image_of(config.daemon.engine, "shop", commit),
        version=config.version,
        daemon=config.daemon,
        env_digest=VALUES.digest,
        release=release,
    )


def shape(name: str) -> App:
    return app(*SHAPES[name])
