"""The environment of the app's commands does not depend on the shell that the daemon was started from."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
from spec.waiting import wait_until

from tests.world import Site, live, serves


def environment_of_app(site: Site) -> dict[str, str]:
    _, text = site.get("/env")
    env: dict[str, str] = json.loads(text)
    return env


def environment_of_setup(site: Site) -> dict[str, str]:
    lines = (site.data / "live" / "environment").read_text().split("\0")
    return dict(line.split("=", 1) for line in lines if line)


def in_venv(site: Site) -> None:
    venv = site.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    script = site.folder / "activated"
    script.write_text(f'#!/bin/sh\n. {venv}/bin/activate\nexec "$@"\n')
    script.chmod(0o755)
    site.prefix = (str(script),)


def by_npm(site: Site) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    package = site.folder / "package"
    (package / "node_modules" / ".bin").mkdir(parents=True)
    scripts = {"up": 'cd "$INIT_CWD" && exec env'}
    (package / "package.json").write_text(json.dumps({"name": "daemon", "version": "1.0.0", "scripts": scripts}))
    site.prefix = ("npm", "--prefix", str(package), "run", "--silent", "up", "--")


@pytest.mark.parametrize("start_in", [in_venv, by_npm])
def test_daemon_in_the_shell_of_a_tool(site: Site, start_in: Callable[[Site], None]) -> None:
    start_in(site)
    live(site, setup_command="env -0 > environment")

    for env in (environment_of_app(site), environment_of_setup(site)):
        of_tools = {name for name in env if name.startswith(("npm_", "VIRTUAL_ENV", "INIT_CWD"))}
        assert of_tools <= {"npm_config_cache"}, "the cache is slot-machine's own"
        assert env.get("npm_config_cache", str(site.data)).startswith(str(site.data))
        assert str(site.folder) not in env["PATH"]
        assert set(env["PATH"].split(":")) <= set(os.environ["PATH"].split(":"))


def test_deleted_key_is_gone_after_a_crash_and_after_a_deploy(site: Site) -> None:
    env_file = site.repo / "production.env"
    env_file.write_text("KEPT=1\nFIRST=1\nSECOND=1\n")
    live(site, env_file="production.env")
    assert environment_of_app(site)["FIRST"] == "1"

    env_file.write_text("KEPT=1\nSECOND=1\n")
    pid = site.status()["pid"]
    site.get("/crash")
    wait_until("it was started again", lambda: site.status()["pid"] not in (0, pid) and serves(site))
    after_crash = environment_of_app(site)

    env_file.write_text("KEPT=1\n")
    site.commit("next")
    assert site.post("/deploy", {"commit": "HEAD"}).status == 200
    after_deploy = environment_of_app(site)

    assert {"KEPT", "SECOND"} <= after_crash.keys()
    assert "FIRST" not in after_crash
    assert "KEPT" in after_deploy
    assert not {"FIRST", "SECOND"} & after_deploy.keys()
