"""The versions that the soak deploys, and the configuration of the daemon."""

import json
import random
from pathlib import Path
from typing import Literal, NamedTuple

from tests.another_user import ATTACK
from tests.world import Site, Value

from soak.trouble import ENV_FILE

Fault = Literal["", "setup", "boot", "health", "hang", "cancel", "disk", "env", "neighbour"]
APP = Path(__file__).with_name("app.py")
STAGES: dict[Fault, tuple[str, ...]] = {
    "setup": ("setup",),
    "boot": ("health",),
    "health": ("health",),
    "hang": ("setup",),
    "cancel": ("resolve", "checkout", "setup"),
    "disk": ("setup",),
    "env": ("resolve",),
    "neighbour": ("health",),
}
"""The stages in which a deploy with that fault may fail."""

AWAY = "setsid sh -c 'while :; do sleep 5; done' {token}-marked &\n"
AWAY_CLEANED = "env -i PATH=\"$PATH\" setsid sh -c 'while :; do sleep 5; done' {token}-cleaned &\n"
CHILDREN = 2


class Version(NamedTuple):
    name: str
    commit: str
    children: int


def configure(site: Site, rng: random.Random) -> dict[str, Value]:
    """Writes a random configuration for the next start or reload. It changes only what a reload may change."""
    site.config |= {
        "setup_command": "sh setup.sh",
        "setup_timeout_ms": 4000,
        "env_file": f"../{ENV_FILE}",
        "health_timeout_ms": 5000,
        "drain_timeout_ms": 2000,
        "proxy_workers": rng.choice([1, 2]),
        "strategy": rng.choice(["overlap", "overlap", "replace"]),
    }
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))
    return site.config


def commit(site: Site, rng: random.Random, number: int, *, fault: Fault = "", children: bool = False) -> Version:
    name = f"v{number}"
    away = (AWAY + AWAY_CLEANED).format(token=site.folder / f"child-{name}") if children else ""
    setups: dict[Fault, str] = {
        "setup": f"{away}echo nothing to install\nexit 3\n",
        "hang": f"{away}sleep 600\n",
        "cancel": f"{away}sleep 600\n",
        "disk": "dd if=/dev/zero of=filler bs=64k\nexit 3\n",
    }
    files = {
        "app.py": APP.read_text(),
        "attack.py": ATTACK,
        "version": name,
        "fault": fault,
        "child.sh": away,
        "setup.sh": f"sleep {rng.choice([0, 0, 0.3])}\n{setups.get(fault, '')}",
    }
    return Version(name, site.commit(name, files), CHILDREN if children else 0)
