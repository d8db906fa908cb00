"""Deploys on a swarm of two engines, under 400 requests a second: a good version, then a bad one, which is taken back.

Usage: python -m demo.swarm, as root. The swarm is that of `tests/swarm`, and ends with the demo.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from spec.orchestrator import find
from tests.swarm import apart
from tests.swarm.lab import Lab
from tests.swarm.shop import Shop, install_edge

from demo.__main__ import title


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="slot-machine-demo-") as folder, Lab() as lab:
        shop = Shop(Path(folder, "shop"))
        title(f"a swarm of {' and '.join(node.name for node in lab.nodes)}, and its edge")
        shop.commit("v1")
        install_edge(lab, shop)
        title("deploy v1: two copies")
        shown(shop, "deploy")
        with lab.load("shop.test") as load:
            load.more("v1")
            title("deploy v2, under load")
            shop.commit("v2")
            shown(shop, "deploy")
            load.more("v2")
            title("deploy v3, which answers its health check with 500: it is taken back")
            shop.commit("v3", "sick", health_timeout_ms=5000)
            shown(shop, "deploy", code=1)
            load.more("v2")
            title("roll back to v1, under load")
            shown(shop, "rollback")
            load.more("v1")
        title("status")
        shown(shop, "status")
        title("account")
        print(load.account())
    return 1 if load.failures else 0


def shown(shop: Shop, *words: str, code: int = 0) -> None:
    done = subprocess.run([find() or "", *words], cwd=shop.folder, env=shop.environment, check=False)
    if done.returncode != code:
        sys.exit(f"`{' '.join(words)}` has ended with {done.returncode}")


if __name__ == "__main__":
    if words := apart.obstacle():
        sys.exit(words)
    inside = apart.MARK in os.environ
    sys.exit(main() if inside else apart.main([sys.executable, "-m", "demo.swarm"]))
