"""The scripts of docs/ci.md, as they stand there, against a real sshd on loopback."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.orchestrator import environment

from tests.pushing import ME, SSHD, Pushed, Sshd
from tests.world import Site, installed, live

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()

pytestmark = pytest.mark.skipif(not Path(SSHD).exists() or not shutil.which("ssh"), reason="there is no sshd here")


class Job:
    """A job of a CI with its own home, and the scripts of the page in it."""

    def __init__(self, sshd: Sshd, site: Site) -> None:
        self.sshd = sshd
        self.site = site
        self.home = sshd.folder / "home"
        self.home.mkdir()
        self.key = sshd.key("ci")
        self.stranger = sshd.key("stranger")

    def run(self, way: str, host_key: Path, commit: str, own: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """`own` has what stands on the server in the place of what the page says."""
        found = re.search(rf"## {way}\n\n```sh\n(umask 077\n.*?)```", PAGE, re.DOTALL)
        assert found
        script = found[1]
        for theirs, ours in own.items():
            assert theirs in script
            script = script.replace(theirs, ours)
        variables = {
            "HOME": str(self.home),
            "DEPLOY_KEY": self.key.read_text(),
            "DEPLOY_KNOWN_HOSTS": f"[127.0.0.1]:{self.sshd.port} {host_key.with_suffix('.pub').read_text()}",
            "DEPLOY_TO": f"ssh://{ME}@127.0.0.1:{self.sshd.port}",
            "COMMIT": commit,
        }
        argv, env = ["sh", "-c", script], environment() | variables
        return subprocess.run(
            argv, cwd=self.site.repo, env=env, capture_output=True, text=True, timeout=60, check=False
        )

    def is_private(self) -> bool:
        return (self.home / ".ssh" / "deploy").stat().st_mode & 0o077 == 0


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    made = Sshd(tmp_path / "ssh")
    yield made
    made.close()


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[Pushed]:
    made = Pushed(installed(), tmp_path)
    yield made
    made.close()


def test_script_by_ssh_deploys_and_believes_no_other_host(site: Site, sshd: Sshd) -> None:
    job = Job(sshd, site)
    sshd.authorized_keys.write_text(job.key.with_suffix(".pub").read_text())
    own = {"/srv/shop": str(site.repo), "slot-machine deploy": f"{site.orchestrator.binary} deploy"}
    good = live(site)
    site.git("remote", "add", "origin", str(site.repo))
    new = site.commit("new")
    done = job.run("By ssh", job.stranger, new, own)
    assert done.returncode == 255, done
    assert "Host key verification failed" in done.stderr
    assert site.status()["live_commit"] == good

    host = sshd.folder / "host"
    done = job.run("By ssh", host, new, own)
    assert done.returncode == 0, done
    assert site.serving() == "new"
    assert site.history()[-1]["who"] == "ci"
    assert job.is_private()

    bad = site.commit("bad", health=500)
    assert job.run("By ssh", host, bad, own).returncode == 1
    assert site.serving() == "new"


def test_script_by_push_deploys_and_believes_no_other_host(pushed: Pushed, sshd: Sshd) -> None:
    job = Job(sshd, pushed)
    pushed.begin()
    argv = [str(pushed.orchestrator.binary), "keys", "add", "ci", "--file", str(sshd.authorized_keys)]
    with job.key.with_suffix(".pub").open() as key:
        subprocess.run(argv, cwd=pushed.bare, env=environment(), stdin=key, check=True, capture_output=True)
    own = {"/srv/shop.git": str(pushed.bare)}
    new = pushed.version("new")
    done = job.run("By push", job.stranger, new, own)
    assert done.returncode == 128, done
    assert "Host key verification failed" in done.stderr
    assert pushed.status()["live_commit"] == ""

    host = sshd.folder / "host"
    done = job.run("By push", host, new, own)
    assert done.returncode == 0, done
    assert pushed.serving() == "new"
    assert pushed.history()[-1]["who"] == "ci"
    assert job.is_private()

    bad = pushed.version("bad", {"health_timeout_ms": 500}, healthy=False)
    assert job.run("By push", host, bad, own).returncode == 1
    assert pushed.serving() == "new"


def test_no_example_accepts_a_host_key_that_it_does_not_know() -> None:
    assert PAGE.count("StrictHostKeyChecking=yes") == 2
    for word in ("ssh-keyscan", "StrictHostKeyChecking=no", "accept-new", "/dev/null"):
        assert word not in PAGE
