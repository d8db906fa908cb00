"""A daemon whose app has its own user: what others may read, and what the app begins with."""

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.host.user import rights
from tests.processes import kill
from tests.users import NUMBERED, give, needs_root
from tests.world import Site

NO_NEW_PRIVILEGES = ("setpriv", "--no-new-privs")


def can_unshare() -> bool:
    return subprocess.run(["unshare", "--map-root-user", "true"], check=False, capture_output=True).returncode == 0


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def deploy(site: Site) -> dict[str, object]:
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert reply.status == 200, reply
    return reply.body


def said(site: Site, words: str) -> int:
    return site.daemons[-1].log.read_text().count(words)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is warned of being root")
def test_root_is_warned_once_that_the_app_is_roots(site: Site) -> None:
    site.commit("one")
    site.start()
    assert site.run("reload").returncode == 0
    assert said(site, "setup, app and git run as root") == 1


@needs_root
def test_root_is_asked_to_name_the_owner_of_a_repository_of_another_users(site: Site) -> None:
    site.commit("one")
    give(site.repo, int(NUMBERED))
    assert site.launch().process.wait(20) == 1
    assert said(site, 'hint: set "user" to its owner, so that nothing of it runs as root') == 1


def test_user_that_is_the_daemons_own_has_a_clean_environment(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "the daemon's")
    monkeypatch.setenv("TZ", "Europe/Paris")
    site.commit("one")
    site.start(user=os.geteuid())
    deploy(site)
    env = json.loads(site.get("/env")[1])

    assert "SECRET" not in env
    assert env["TZ"] == "Europe/Paris"
    us = rights.find(str(os.geteuid()), "")
    assert us
    assert env["HOME"] == us.home
    assert mode(site.data) == 0o700
    assert said(site, "run as root") == 0


def test_files_of_the_daemon_are_private_and_those_of_the_app_are_not(site: Site) -> None:
    site.data.mkdir()
    site.data.chmod(0o755)
    (site.data / "slot-a.log").touch()
    (site.data / "slot-a.log").chmod(0o644)
    setup = "touch by-setup"
    site.commit("one", child=["touch", "by-app"], lines=15_000)
    with umask(0o027):
        site.start(setup_command=setup, access_log=".slot-machine/access.log", log_max_mb=1)
    assert said(site, f"tightened, as others had access to it: {site.data}, slot-a.log") == 1
    deploy(site)
    wait_until("the log is rotated", (site.data / "slot-a.log.1").exists)
    wait_until("the request is logged", lambda: (site.data / "access.log").exists() or not site.get())

    assert mode(site.data) == 0o700
    files = [path for path in site.data.iterdir() if not path.is_symlink() and not path.is_dir()]
    assert {path.name: mode(path) for path in files if mode(path) != 0o600} == {"live-slot": 0o644}
    for name in ("by-setup", "by-app"):
        assert mode(site.data / "live" / name) == 0o640
    assert mode(site.data / "tree-1") == 0o750

    assert site.run("reload").returncode == 0
    (site.data / "live/by-app").unlink()
    kill(int(site.get("/pid")[1]))
    wait_until("the app is back", (site.data / "live/by-app").exists)
    assert mode(site.data / "live/by-app") == 0o640


def test_access_log_elsewhere_is_for_its_group(site: Site) -> None:
    site.commit("one")
    site.start(access_log=str(site.folder / "access.log"))
    site.get()
    wait_until("the request is logged", (site.folder / "access.log").exists)
    assert mode(site.folder / "access.log") == 0o640


@pytest.mark.skipif(not can_unshare(), reason="no user namespace can be made")
def test_user_that_the_user_namespace_does_not_have_is_refused(site: Site) -> None:
    site.commit("one")
    site.prefix = ("unshare", "--map-root-user")
    daemon = site.launch(user=65_533)
    assert daemon.process.wait(20) == 1
    assert "cannot run commands as 65533: " in site.daemons[-1].log.read_text()
    assert said(site, "Traceback") == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to set them")
def test_root_whose_capabilities_outlive_its_uid_is_refused(site: Site) -> None:
    site.commit("one")
    site.prefix = ("setpriv", "--securebits=+no_setuid_fixup")
    daemon = site.launch(user=65_534)
    assert daemon.process.wait(20) == 1
    assert "cannot run commands as nobody: the secure bits" in site.daemons[-1].log.read_text()


def test_data_folder_that_the_configuration_names(site: Site) -> None:
    site.data = site.folder / "elsewhere/data"
    site.commit("one")
    site.start(data="../elsewhere/data")
    deploy(site)
    assert site.serving() == "one"
    assert not (site.repo / ".slot-machine").exists()
    shown = json.loads(site.run("start", "--check").stdout)
    assert shown["data"] == str(site.data)
    shown = json.loads(site.run("start", "--check", "--data", str(site.folder / "mine")).stdout)
    assert shown["data"] == str(site.folder / "mine")


def test_setup_that_fails_without_new_privileges_says_so(site: Site) -> None:
    site.commit("one")
    site.prefix = NO_NEW_PRIVILEGES
    site.start(setup_command="exit 3")
    reply = site.post("/deploy", {"commit": "HEAD"})
    assert reply.status == 500
    assert "NoNewPrivileges=" in str(reply.body["hint"])
