"""A daemon of root's fetches as the user whose the repository is."""

import pwd
from pathlib import Path

from spec.waiting import wait_until

from tests.another_user import AnothersSite
from tests.users import NAMED, needs_root, public_folder

pytestmark = needs_root

SSH = """#!/bin/sh
grep ^Uid: /proc/self/status > {folder}/uid
env > {folder}/env
echo 'git@example.com: Permission denied (publickey).' >&2
exit 255
"""


def test_fetch_has_the_rights_and_the_environment_of_the_user() -> None:
    uid = pwd.getpwnam(NAMED).pw_uid
    with public_folder() as folder:
        site = AnothersSite(folder, NAMED, uid)
        try:
            _check(site, folder)
        finally:
            site.close()


def _check(site: AnothersSite, folder: Path) -> None:
    commit = site.commit("good")
    site.config["follow"] = {"remote": ".", "every_s": 1}
    daemon = site.start()
    wait_until("it is live", lambda: site.status()["live_commit"] == commit, limit_s=30)
    assert [path for path in (site.repo / ".git").rglob("*") if path.lstat().st_uid != site.uid] == []
    for name in ("uid", "env"):
        (folder / name).touch()
        (folder / name).chmod(0o666)
    (folder / "ssh").write_text(SSH.format(folder=folder))
    (folder / "ssh").chmod(0o755)
    site.git("config", "core.sshCommand", str(folder / "ssh"))
    site.git("config", "url.git@example.com:shop.git.insteadOf", ".")
    wait_until("the look has failed", lambda: "publickey" in str(site.status()["follow"]), limit_s=30)
    assert "SSH_AUTH_SOCK is not set for git, which has a clean environment: give nobody a key" in str(
        site.status()["follow"]
    )
    assert (folder / "uid").read_text().split()[1:] == [str(site.uid)] * 4
    names = {line.partition("=")[0] for line in (folder / "env").read_text().splitlines()}
    assert "GIT_TERMINAL_PROMPT" in names
    assert "SPEC_DAEMON" not in names
    assert daemon.process.poll() is None
