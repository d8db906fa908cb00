"""Runs a command in namespaces of its own: its network, its mounts and its processes end with it, however it ends.

Usage: python -m tests.swarm.apart COMMAND. Where that is not possible, COMMAND runs as it is, and `obstacle` says why.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from tests.swarm import images

CGROUPS = Path("/sys/fs/cgroup")
PREFIX = "slot-machine-lab-"
MARK = "SLOT_MACHINE_LAB_CGROUP"
"""In the environment of what runs apart: the cgroup of its containers."""
TOOLS = (
    *("dockerd", "docker", "containerd", "runc", "ip", "iptables", "unshare", "nsenter", "setpriv", "ssh", "haproxy"),
    *("docker-registry", "mmdebstrap"),
)
TRIES, PAUSE_S = 50, 0.1
SHELL_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"))


def obstacle() -> str:
    """Why nothing can run apart here; empty if it can."""
    if os.geteuid():
        return "only root can make networks: run `make test-swarm` as root"
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=SHELL_PATH)]
    if missing:
        return f"there is no {', '.join(missing)}: .ci/tools installs them"
    probe = ["unshare", "--mount", "--net", "--pid", "--fork", "ip", "link", "add", "probe", "type", "vxlan", "id", "1"]
    done = subprocess.run([*probe, "dstport", "4789"], capture_output=True, text=True, check=False)
    return f"the kernel has no networks such as Swarm needs: {done.stderr.strip()}" if done.returncode else ""


def main(command: list[str]) -> int:
    if words := obstacle() or no_image():
        print(f"not in namespaces of its own: {words}", file=sys.stderr)
        return subprocess.run(command, check=False).returncode
    sweep()
    name = f"{PREFIX}{os.getpid()}"
    program = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    inside = [*program, "--mount-proc", sys.executable, "-m", "tests.swarm.first", *command]
    signal.signal(signal.SIGTERM, leave)
    process = subprocess.Popen(inside, env=os.environ | {MARK: name, "PATH": SHELL_PATH})
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal has told the command too, which cleans up.
                continue
    finally:
        process.kill()
        process.wait()
        for folder in sweep():
            print(f"{folder} stays", file=sys.stderr)


def no_image() -> str:
    """Makes the base image, while there is a network. Returns why it can't; empty if it could."""
    try:
        images.base()
    except (OSError, subprocess.CalledProcessError, AssertionError) as error:
        return f"there is no base image: {error}"
    return ""


def leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def sweep() -> list[str]:
    """Removes the cgroups of this process, and of those that could not do it themselves. Returns what stays.

    A process that was killed may take a moment to end.
    """
    left: list[str] = []
    for _ in range(TRIES):
        left = [folder for parent in groups() for folder, _, _ in os.walk(parent, topdown=False) if not removed(folder)]
        if not left:
            break
        time.sleep(PAUSE_S)
    return left


def groups() -> set[Path]:
    """Those of this process, and of processes that are gone."""
    found = {*CGROUPS.glob(f"{PREFIX}*"), *CGROUPS.glob(f"*/{PREFIX}*")}
    own = {path for path in found if path.name == f"{PREFIX}{os.getpid()}"}
    return own | {path for path in found if not Path("/proc", path.name.removeprefix(PREFIX)).exists()}


def removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
