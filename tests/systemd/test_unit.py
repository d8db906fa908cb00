"""The unit that `install` writes, under a real systemd: boot, reload, crash, hang, stop, reboot."""

import json
import os
import pwd
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from demo.load import Load
from spec.ports import free_port, is_free
from spec.waiting import wait_until
from spec.web import exchange

from slot_machine import __version__
from tests.machine import Machine, obstacle
from tests.users import PACKAGES, PYTHON
from tests.world import Site, goes_on, installed, serves

USER = "daemon"
UNIT = "slot-machine-shop.service"
PROGRAM = f"#!{PYTHON}\nfrom slot_machine.__main__ import main\nmain()\n"

DROP_IN = "[Service]\nWatchdogSec=5\nTimeoutStopSec=3\n"
"""What a test can wait for."""

USERS_SYSTEMD = """
set -e
mkdir -p /run/user/$0 /srv/home && chown $1 /run/user/$0 /srv/home && chmod 700 /run/user/$0
systemd-run --quiet --unit=users-systemd --property=Type=notify --property=Delegate=yes --uid=$0 \\
    --setenv=XDG_RUNTIME_DIR=/run/user/$0 --setenv=HOME=/srv/home /lib/systemd/systemd --user
"""

pytestmark = pytest.mark.skipif(bool(found := obstacle()), reason=found)


class Shop(Site):
    """In /srv of a machine. Its daemon runs there, as a service."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.later: list[str] = []
        super().__init__(installed(), machine.srv)
        self.config |= {"start_command": f"{PYTHON} -IS app.py", "name": "shop"}

    def configure(self, **config: str) -> None:
        (self.repo / "slot-machine.json").write_text(json.dumps(self.config | config))
        user = pwd.getpwnam(USER)
        for path in (self.repo, *self.repo.rglob("*")):
            if not path.is_relative_to(self.data):
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def slot_machine(self, *words: str) -> str:
        return self.machine.run("slot-machine", *words, cwd="/srv/repo").stdout

    def systemctl(self, *words: str) -> None:
        self.machine.run("systemctl", *words)

    def show(self, name: str) -> str:
        return self.machine.run("systemctl", "show", "--property", name, "--value", UNIT).stdout.strip()

    def signal_daemon(self, signal: str) -> None:
        self.machine.run("kill", signal, self.show("MainPID"))

    def is_another(self, before: str) -> bool:
        """Whether systemd has started another daemon, which is ready."""
        return self.show("MainPID") not in (before, "0") and self.show("SubState") == "running"

    def processes(self) -> list[str]:
        """Those of the service, also the app's."""
        found = f"find /sys/fs/cgroup/system.slice/{UNIT} -name cgroup.procs -exec cat {{}} +"
        return self.machine.run("sh", "-c", found, check=False).stdout.split()


def packages() -> str:
    """Where PYTHON finds those that were installed by hand."""
    return subprocess.check_output([PYTHON, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        machine = Machine(Path(folder))
        machine.write("/usr/local/bin/slot-machine", PROGRAM, 0o755)
        machine.write(f"{packages()}/slot-machine.pth", "\n".join(PACKAGES))
        shop = Shop(machine)
        later = [shop.commit(version) for version in ("one", "two")]
        good = shop.commit("good")
        shop.configure()
        try:
            machine.boot()
            shop.slot_machine("install")
            (machine.base / "units" / f"{UNIT}.d").mkdir()
            (machine.base / "units" / f"{UNIT}.d" / "test.conf").write_text(DROP_IN)
            shop.systemctl("daemon-reload")
            shop.systemctl("start", UNIT)
            shop.slot_machine("deploy", good)
            shop.later = later
            yield shop
        finally:
            machine.close()


def test_second_install_changes_nothing(shop: Shop) -> None:
    unit = shop.machine.base / "units" / UNIT
    before = unit.read_bytes()

    assert shop.slot_machine("install") == f"unchanged: /etc/systemd/system/{UNIT}\n"

    assert unit.read_bytes() == before
    assert shop.show("UnitFileState") == "enabled"
    wait_until("systemd knows what is live", lambda: "is live in slot a" in shop.show("StatusText"))
    assert len(shop.processes()) >= 4


def test_daemon_has_the_home_of_its_user_and_doctor_finds_nothing_wrong(shop: Shop) -> None:
    environ = shop.machine.run("cat", f"/proc/{shop.show('MainPID')}/environ").stdout.split("\0")
    assert f"HOME={pwd.getpwnam(USER).pw_dir}" in environ
    for user in ([], ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "env", "HOME=/"]):
        found = json.loads(shop.machine.run(*user, "slot-machine", "doctor", "--json", cwd="/srv/repo").stdout)
        assert found["success"], found
        levels = {each["check"]: each["level"] for each in found["checks"]}
        assert {levels[check] for check in ("config", "git", "groups", "daemon", "service")} == {"ok"}, found


def test_reload_keeps_the_process_and_fails_no_request(shop: Shop) -> None:
    pid, load = shop.show("MainPID"), Load(shop.port)
    with load.running():
        for _ in range(2):
            goes_on(load)
            shop.systemctl("reload", UNIT)
        goes_on(load)

    assert load.failures == []
    assert (shop.show("MainPID"), shop.show("SubState")) == (pid, "running")
    assert shop.status()["reloads"] == 2


def test_all_daemons_are_reloaded_from_any_folder(shop: Shop) -> None:
    before = shop.status()["reloads"]
    assert shop.machine.run("slot-machine", "reload", "--all").stdout == f"shop: reloaded, version {__version__}\n"
    assert shop.status()["reloads"] == int(str(before)) + 1


def test_refused_reload_is_told_and_changes_nothing(shop: Shop) -> None:
    pid = shop.show("MainPID")
    shop.configure(drain_timeout_ms="long")

    assert shop.machine.run("systemctl", "reload", UNIT, check=False).returncode == 1

    assert (shop.show("MainPID"), shop.show("SubState")) == (pid, "running")
    assert shop.serving() == "good"
    shop.configure()


def test_daemon_that_dies_is_started_again_and_no_request_fails(shop: Shop) -> None:
    pid, app, load = shop.show("MainPID"), shop.get("/pid"), Load(shop.port)
    with load.running():
        goes_on(load)
        shop.signal_daemon("-KILL")
        wait_until("there is another daemon", partial(shop.is_another, pid))
        goes_on(load)

    assert load.failures == []
    assert shop.get("/pid") == app


def test_daemon_that_dies_in_a_reload_is_started_again(shop: Shop) -> None:
    pid, app = shop.show("MainPID"), shop.get("/pid")
    shop.systemctl("reload", "--no-block", UNIT)
    wait_until("it reloads", lambda: shop.show("ActiveState") == "reloading")
    shop.signal_daemon("-KILL")

    wait_until("there is another daemon", partial(shop.is_another, pid))
    assert shop.get("/pid") == app


def test_daemon_that_hangs_is_started_again_and_no_request_fails(shop: Shop) -> None:
    pid, app, load = shop.show("MainPID"), shop.get("/pid"), Load(shop.port)
    with load.running():
        goes_on(load)
        shop.signal_daemon("-STOP")
        wait_until("there is another daemon", partial(shop.is_another, pid), 30)
        goes_on(load)

    assert load.failures == []
    assert shop.get("/pid") == app


def test_stop_leaves_nothing_even_if_the_daemon_hangs(shop: Shop) -> None:
    pid = shop.show("MainPID")
    # systemd sends SIGCONT after SIGTERM.
    hanging = threading.Thread(
        target=shop.machine.run, args=("sh", "-c", f"while kill -STOP {pid}; do :; done 2>/dev/null")
    )
    hanging.start()

    shop.systemctl("stop", UNIT)

    hanging.join()
    assert shop.show("Result") in ("timeout", "watchdog")
    assert shop.processes() == []
    assert is_free(shop.port)
    shop.systemctl("start", UNIT)
    assert shop.serving() == "good"


def test_unit_of_a_users_own_systemd(shop: Shop) -> None:
    user = pwd.getpwnam(USER)
    shop.machine.run("sh", "-c", USERS_SYSTEMD, str(user.pw_uid), USER)
    own = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "env", "HOME=/srv/home"]
    own += [f"XDG_RUNTIME_DIR=/run/user/{user.pw_uid}"]

    shop.machine.run(*own, "git", "clone", "--quiet", "/srv/repo", "/srv/home/app")
    port, api_port = free_port(), free_port()
    config = shop.config | {"port": port, "api_port": api_port}
    (shop.machine.srv / "home/app/slot-machine.json").write_text(json.dumps(config))

    installed = shop.machine.run(*own, "slot-machine", "install", "--user-unit", cwd="/srv/home/app")
    assert installed.stdout == f"wrote /srv/home/.config/systemd/user/{UNIT}\n"
    assert f"loginctl enable-linger {USER}" in installed.stderr
    shop.machine.run(*own, "systemctl", "--user", "start", UNIT)
    shop.machine.run(*own, "slot-machine", "deploy", shop.later[0], cwd="/srv/home/app")
    assert exchange(port, "GET", "/") == (200, b"one")
    shop.machine.run(*own, "systemctl", "--user", "reload", UNIT)
    assert exchange(port, "GET", "/") == (200, b"one")
    shop.machine.run(*own, "slot-machine", "uninstall", "--user-unit", cwd="/srv/home/app")
    assert is_free(port)


def test_two_reboots(shop: Shop) -> None:
    for _ in range(2):
        shop.machine.reboot()
        wait_until("the app serves", partial(serves, shop))
        assert shop.serving() == "good"


def test_uninstall_stops_the_service_and_keeps_the_versions(shop: Shop) -> None:
    shop.slot_machine("uninstall")

    assert not (shop.machine.base / "units" / UNIT).exists()
    assert shop.processes() == []
    assert is_free(shop.port)
    assert (shop.data / "state.db").exists()


def test_daemon_of_root_hands_the_port_over_under_its_hardening(shop: Shop) -> None:
    (shop.folder / "slot-machine.json").write_text(json.dumps(shop.config | {"user": USER, "data": "data"}))
    shop.machine.run("slot-machine", "install", "--", "--no-proxy", "--repo=repo", cwd="/srv")
    unit = (shop.machine.base / "units" / UNIT).read_text()
    assert "User=root" in unit
    assert "ProtectKernelTunables=yes" in unit
    shop.systemctl("start", UNIT)
    for version, commit in zip(("one", "two"), shop.later, strict=True):
        shop.machine.run("slot-machine", "deploy", commit, cwd="/srv")
        assert shop.serving() == version

    status = shop.status()
    assert (status["traffic"], status["handover"]) == ("no-proxy", True), status["handover_reason"]
    shop.systemctl("stop", UNIT)
    assert shop.processes() == []
