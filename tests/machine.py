"""A machine with a systemd of its own: namespaces over this machine's files, which it can't change.

It shares the network, so that a test can send requests to its services. Only what a test installs is started in it.
"""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

from spec.waiting import wait_until

from slot_machine.host.process import cgroup

SYSTEMD = Path("/lib/systemd/systemd")
LIMIT_S = 60
KEPT = "systemd-journald"
"""What is started beside the test's own units."""
OF_THE_MACHINE = ("_PID=1", "+", "_TRANSPORT=stdout")
"""Not the kernel's messages, which are those of this machine."""

BOOT = """
set -eu
mount --make-rprivate /
mount -t overlay overlay -o lowerdir=/,upperdir=$BASE/upper,workdir=$BASE/work $BASE/root
cd $BASE/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount --rbind /dev dev
mount --bind $BASE/units etc/systemd/system
mount --bind $BASE/srv srv
mount --bind $BASE/boot_id proc/sys/kernel/random/boot_id
pivot_root . mnt
umount -l mnt
exec env -i container=other PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    SYSTEMD_PROC_CMDLINE='systemd.unit=multi-user.target' /lib/systemd/systemd --log-target=journal --show-status=no
"""


def obstacle() -> str:
    """Why there can be no such machine here; empty if there can."""
    missing = [name for name in ("systemctl", "unshare", "nsenter", "pivot_root") if not shutil.which(name)]
    if os.geteuid() != 0:
        return "only root can boot a systemd"
    if missing or not SYSTEMD.exists():
        return f"there is no {', '.join([*missing, *([] if SYSTEMD.exists() else [str(SYSTEMD)])])}"
    if cgroup.usable_parent() is None:
        return "this machine has no control groups of version 2 that can be used"
    trial = "mount -t overlay overlay -o lowerdir=/,upperdir=/run/u,workdir=/run/w /mnt && mount -t cgroup2 none /sys"
    script = f"mount -t tmpfs tmpfs /run && mkdir /run/u /run/w && {trial}"
    done = subprocess.run(
        ["unshare", "--mount", "--cgroup", "--pid", "--fork", "sh", "-c", script], capture_output=True, check=False
    )
    return f"namespaces can't be used: {done.stderr.decode().strip()}" if done.returncode else ""


class Machine:
    """`srv` is its folder /srv, which outlives a reboot, as do its units."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.srv = base / "srv"
        for name in ("upper", "work", "root", "units", "srv"):
            (base / name).mkdir()
        (base / "upper").chmod(0o755)
        for wants in Path("/lib/systemd/system").glob("*.wants/*"):
            if not wants.name.startswith(KEPT):
                (base / "units" / wants.name).unlink(missing_ok=True)
                (base / "units" / wants.name).symlink_to("/dev/null")
        parent = cgroup.usable_parent()
        assert parent
        self._group = parent / f"slot-machine-test-{uuid.uuid4().hex[:12]}"
        self._boot: subprocess.Popen[bytes] | None = None
        self._init = 0

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of this machine alone. Before it boots."""
        file = self.base / "upper" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def boot(self) -> None:
        (self.base / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self._group.mkdir()
        flags = ("--mount", "--cgroup", "--uts", "--ipc", "--pid", "--fork", "--kill-child")
        enter = f"echo $$ > {self._group}/cgroup.procs && exec unshare {' '.join(flags)} sh -c '{BOOT}'"
        log = (self.base / "console").open("ab")
        with log:
            self._boot = subprocess.Popen(
                ["/bin/sh", "-c", enter.replace("$BASE", str(self.base))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until("systemd is process 1", self._has_begun, LIMIT_S)
        wait_until("systemd has booted", self._has_booted, LIMIT_S)

    def reboot(self) -> None:
        """Asks systemd for it, as a person would."""
        self.run("systemctl", "reboot", "--no-block")
        self._await_end()
        self.boot()

    def run(self, *argv: str, cwd: str = "/", check: bool = True) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            ["nsenter", "--all", f"--target={self._init}", "--root", "sh", "-c", 'cd "$0" && exec "$@"', cwd, *argv],
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_COLORS": "0"},
            capture_output=True,
            text=True,
            timeout=LIMIT_S * 2,
            check=False,
        )
        assert not (check and done.returncode), f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return done

    def close(self) -> None:
        if self._boot and self._boot.poll() is None:
            sys.stderr.write(self.run("journalctl", "--no-pager", "--quiet", *OF_THE_MACHINE, check=False).stdout)
            self._boot.kill()
            self._boot.wait()
        wait_until("all of it has ended", self._group_is_gone)

    def _await_end(self) -> None:
        assert self._boot
        self._boot.wait(LIMIT_S * 2)
        wait_until("all of it has ended", self._group_is_gone)

    def _group_is_gone(self) -> bool:
        cgroup.Cgroup(self._group).kill()
        cgroup.Cgroup(self._group).remove()
        return not self._group.exists()

    def _has_begun(self) -> bool:
        assert self._boot
        assert self._boot.poll() is None, (self.base / "console").read_text()
        children = Path(f"/proc/{self._boot.pid}/task/{self._boot.pid}/children").read_text().split()
        self._init = int(children[0]) if children else 0
        return bool(children) and Path(f"/proc/{self._init}/comm").read_text().strip() == "systemd"

    def _has_booted(self) -> bool:
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")
