"""Brings the lab up and runs a command in it, a shell without one: `python -m tests.swarm [COMMAND]`, as root.

In it, `docker` is the manager's, `ssh node1` and `ssh node2` are the nodes. All ends with the command.
"""

import os
import subprocess
import sys

from tests.swarm import apart
from tests.swarm.lab import Lab


def main(command: list[str]) -> int:
    if apart.MARK not in os.environ:
        return apart.main([sys.executable, "-m", "tests.swarm", *command])
    with Lab() as lab:
        print(f"{', '.join(node.name for node in lab.nodes)}: ready", file=sys.stderr)
        return subprocess.run(command or [os.environ.get("SHELL", "/bin/bash")], check=False).returncode


if __name__ == "__main__":
    if words := apart.obstacle():
        sys.exit(words)
    sys.exit(main(sys.argv[1:]))
