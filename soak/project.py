"""The versions that the soak deploys, and the configuration of the daemon."""

import json
import random
from pathlib import Path
from typing import Literal, NamedTuple

from tests.another_user import ATTACK
from tests.world import Site, Value

from soak import cron, journal
from soak.app import script
from soak.trouble import ENV_FILE

Fault = Literal["", "setup", "boot", "health", "hang", "cancel", "disk", "env", "neighbour", "release"]
APP = Path(__file__).with_name("app.py")
BESIDE = APP.with_name("beside.py")
APP_CONFIG = "app.json"
SINGLETONS = ("clock", "scheduler")
IGNORED = ".slot-machine\nslot-machine.json\nignored\nassets\ndata\nuploads\n"
STAGES: dict[Fault, tuple[str, ...]] = {
    "setup": ("setup",),
    "boot": ("health",),
    "health": ("health",),
    "hang": ("setup",),
    "cancel": ("resolve", "checkout", "setup"),
    "disk": ("setup",),
    "env": ("resolve",),
    "neighbour": ("health",),
    "release": ("release",),
}
"""The stages in which a deploy with that fault may fail."""

AWAY = "setsid sh -c 'while :; do sleep 5; done' {token}-marked &\n"
AWAY_CLEANED = "env -i PATH=\"$PATH\" setsid sh -c 'while :; do sleep 5; done' {token}-cleaned &\n"
CHILDREN = 2


class Version(NamedTuple):
    """`config` is what its commit says."""

    name: str
    commit: str
    children: int
    config: dict[str, object]

    @property
    def beside(self) -> set[tuple[str, int]]:
        """Names and indices of the processes beside the web process."""
        processes = self.config["processes"]
        assert isinstance(processes, dict)
        return {(name, index) for name, its in processes.items() for index in range(1, its.get("count", 1) + 1)}


def configure(site: Site, rng: random.Random) -> dict[str, Value]:
    """Writes a random configuration for the next start or reload. It changes only what a reload may change.

    The fields of a version are in its commit.
    """
    site.config |= {
        "app_config": APP_CONFIG,
        "env_file": f"../{ENV_FILE}",
        "proxy_workers": rng.choice([1, 2]),
    }
    (site.repo / "slot-machine.json").write_text(json.dumps(site.config))
    return site.config


def config_of(site: Site, rng: random.Random, name: str) -> dict[str, object]:
    python = str(site.config["start_command"]).partition(" ")[0]

    def beside(role: str) -> str:
        return f"{python} -IS beside.py {role} {name} {journal.path(site)}"

    return {
        "start_command": f"{site.config['start_command']} {name}",
        "setup_command": "sh setup.sh",
        "setup_timeout_ms": 4000,
        "build_command": f"mkdir -p assets && printf {name} > {script(name)}",
        "release_command": beside("release"),
        "processes": {
            "worker": {"command": beside("worker"), "count": rng.choice([1, 1, 2])},
            rng.choice(SINGLETONS): {
                "command": beside("singleton"),
                "singleton": True,
                "quiet_signal": rng.choice(["", "USR1"]),
            },
        },
        "cron": {cron.JOB: {"schedule": cron.SCHEDULE, "command": beside("job")}},
        "health_timeout_ms": 5000,
        "drain_timeout_ms": 2000,
        "strategy": rng.choice(["overlap", "overlap", "replace"]),
        "shared_dirs": ["data", "uploads"],
        "asset_dirs": ["assets"],
    }


def commit(site: Site, rng: random.Random, number: int, *, fault: Fault = "", children: bool = False) -> Version:
    name = f"v{number}"
    away = (AWAY + AWAY_CLEANED).format(token=site.folder / f"child-{name}") if children else ""
    setups: dict[Fault, str] = {
        "setup": f"{away}echo nothing to install\nexit 3\n",
        "hang": f"{away}sleep 600\n",
        "cancel": f"{away}sleep 600\n",
        "disk": "dd if=/dev/zero of=filler bs=64k\nexit 3\n",
    }
    config = config_of(site, rng, name)
    files = {
        ".gitignore": IGNORED,
        APP_CONFIG: json.dumps(config),
        "beside.py": BESIDE.read_text(),
        "app.py": APP.read_text(),
        "attack.py": ATTACK,
        "version": name,
        "fault": fault,
        "child.sh": away,
        "setup.sh": f"sleep {rng.choice([0, 0, 0.3])}\n{setups.get(fault, '')}",
    }
    return Version(name, site.commit(name, files), CHILDREN if children else 0, config)
