"""Whether a registry can be reached from here, and by which login."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from slot_machine.engines.engine import Finding

LIMIT_S = 10.0
SHORT_LIVED = (".amazonaws.com", "gcr.io", "pkg.dev", ".azurecr.io")
"""Registries whose tokens usually end within hours."""
HELPERS = ("ecr-login", "gcr", "gcloud", "acr-env", "acr")
"""Credential helpers that get such tokens."""
ANSWERS = (200, 401, 403)
"""Of a registry to `GET /v2/` (https://distribution.github.io/distribution/spec/api/#api-version-check)."""


def registry(prefix: str, *, nodes_use_ours: bool = True) -> Iterator[Finding]:
    """`nodes_use_ours`: whether the nodes log in with what this computer has, or with a copy of it."""
    host = prefix.partition("/")[0]
    yield _reached(host)
    yield from _login(host, _docker_config(), nodes_use_ours=nodes_use_ours)


def _reached(host: str) -> Finding:
    """Docker itself uses HTTP for those that the engines were told to be insecure."""
    why = ""
    for scheme in ("https", "http"):
        try:
            with urllib.request.urlopen(f"{scheme}://{host}/v2/", timeout=LIMIT_S):
                return Finding(f"the registry {host} answers by {scheme}")
        except urllib.error.HTTPError as error:
            if error.code in ANSWERS:
                return Finding(f"the registry {host} answers by {scheme}")
            why = f"status {error.code} of /v2/"
        except OSError as error:
            why = why or str(error)
    remedy = "check its name, and that this computer and all nodes reach it"
    return Finding(f"the registry {host} does not answer: {why}", remedy)


def _docker_config() -> dict[str, object]:
    folder = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
    try:
        found = json.loads(Path(folder, "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _login(host: str, config: dict[str, object], *, nodes_use_ours: bool = True) -> Iterator[Finding]:
    helpers = config.get("credHelpers")
    helper = helpers.get(host, "") if isinstance(helpers, dict) else ""
    helper = helper or config.get("credsStore") or ""
    logins = config.get("auths")
    if nodes_use_ours and (helper in HELPERS or host.endswith(SHORT_LIVED)):
        yield Finding(
            f"logins to {host} end after some hours: later, no node can pull the image again when a copy moves",
            "let the nodes log in by themselves, or renew daily what they log in with (`slot-machine restart` does so"
            " on a swarm), or use a registry with lasting logins",
            fatal=False,
        )
    if helper or (isinstance(logins, dict) and any(host in name for name in logins)):
        yield Finding(f"docker is logged in to {host}")
    else:
        remedy = f"`docker login {host}`, unless anybody may push there"
        yield Finding(f"docker is not logged in to {host}", remedy, fatal=False)
