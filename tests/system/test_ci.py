"""The script of docs/ci.md, as it stands there, against a real sshd on loopback."""

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from spec.orchestrator import environment
from spec.ports import free_port

from tests.world import Site, live

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"

pytestmark = pytest.mark.skipif(not os.access(SSHD, os.X_OK), reason="there is no sshd")


class Sshd:
    """It accepts the key `ci`, and shows the host key `host`; `other` is of another host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        for name in ("ci", "host", "other"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(argv, check=True)
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "ci.pub",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PermitRootLogin": "yes",
        }
        (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
        self._process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.PIPE)
        assert self._process.stderr
        listens = next((line for line in self._process.stderr if b"Server listening" in line), b"")
        assert listens

    def known_hosts(self, key: str) -> str:
        return f"[127.0.0.1]:{self.port} {(self.folder / f'{key}.pub').read_text()}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stderr
        self._process.stderr.close()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    folder = tmp_path / "ssh"
    folder.mkdir()
    made = Sshd(folder)
    yield made
    made.close()


def script(site: Site) -> str:
    """In which the server's own paths stand for those of the page."""
    found = re.search(r"```sh\n(umask 077\n.*?)```", PAGE, re.DOTALL)
    assert found
    own = {"/srv/shop": str(site.repo), "slot-machine deploy": f"{site.orchestrator.binary} deploy"}
    text = found[1]
    for theirs, ours in own.items():
        text = text.replace(theirs, ours)
    return text


def run(site: Site, sshd: Sshd, commit: str, key: str) -> "subprocess.CompletedProcess[str]":
    variables = {
        "HOME": str(sshd.folder / "home"),
        "DEPLOY_KEY": (sshd.folder / "ci").read_text(),
        "DEPLOY_KNOWN_HOSTS": sshd.known_hosts(key),
        "DEPLOY_TO": f"ssh://{getpass.getuser()}@127.0.0.1:{sshd.port}",
        "COMMIT": commit,
    }
    (sshd.folder / "home").mkdir(exist_ok=True)
    argv = ["sh", "-c", script(site)]
    return subprocess.run(argv, env=environment() | variables, capture_output=True, text=True, timeout=60, check=False)


def test_script_deploys_and_believes_no_other_host(site: Site, sshd: Sshd) -> None:
    good = live(site)
    site.git("remote", "add", "origin", str(site.repo))
    new = site.commit("new")
    done = run(site, sshd, new, "other")
    assert done.returncode == 255, done
    assert "Host key verification failed" in done.stderr
    assert site.status()["live_commit"] == good

    done = run(site, sshd, new, "host")
    assert done.returncode == 0, done
    assert site.serving() == "new"
    assert site.history()[-1]["who"] == "ci"
    mode = (sshd.folder / "home" / ".ssh" / "deploy").stat().st_mode
    assert mode & 0o077 == 0

    bad = site.commit("bad", health=500)
    done = run(site, sshd, bad, "host")
    assert done.returncode == 1, done
    assert site.serving() == "new"


def test_no_example_accepts_a_host_key_that_it_does_not_know() -> None:
    assert "StrictHostKeyChecking=yes" in PAGE
    for word in ("ssh-keyscan", "StrictHostKeyChecking=no", "accept-new", "/dev/null"):
        assert word not in PAGE
