"""Deploys v1. Then, under load: deploys v2, rolls back, holds v3 for a look, and deploys v4, which is taken back.

Usage: python -m demo PATH_OF_SLOT_MACHINE
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import Request, urlopen

from demo.load import Load

APP = Path(__file__).with_name("app.py")
BROKEN = "500 v4 is broken"


def main(slot_machine: str) -> int:
    with tempfile.TemporaryDirectory(prefix="slot-machine-demo-") as folder:
        repo = Path(folder, "app")
        repo.mkdir()
        port, api_port = free_port(), free_port()
        config: dict[str, object] = {
            "start_command": f"{sys.executable} app.py",
            "port": port,
            "api_port": api_port,
            "health_endpoint": "/",
        }
        (repo / "slot-machine.json").write_text(json.dumps(config))
        (repo / ".gitignore").write_text(".slot-machine\n")
        git(repo, "init", "--quiet")
        commit(repo, "v1")
        daemon = start([slot_machine, "start"], repo, api_port)
        load = Load(port)
        try:
            tell(slot_machine, repo, load, config)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    others = [failure for failure in load.failures if not failure.endswith(BROKEN)]
    give_account(load, others)
    return 1 if others else 0


def tell(slot_machine: str, repo: Path, load: Load, config: dict[str, object]) -> None:
    title("deploy v1")
    run(slot_machine, repo, "deploy")
    with load.running():
        title("deploy v2, under load")
        commit(repo, "v2")
        wait_for(load, "v1")
        run(slot_machine, repo, "deploy")
        wait_for(load, "v2")
        title("roll back to v1, under load")
        run(slot_machine, repo, "rollback")
        load.answers["v1 before the rollback"] = load.answers.pop("v1")
        wait_for(load, "v1")
        title("hold v3, and look at it before anybody else")
        commit(repo, "v3")
        run(slot_machine, repo, "deploy", "--hold")
        look(slot_machine, repo)
        run(slot_machine, repo, "abort")
        title("deploy v4, a quarter of whose requests fail: it is watched, and taken back")
        (repo / "slot-machine.json").write_text(json.dumps(config | {"watch_ms": 60_000}))
        commit(repo, "v4", fails=0.25)
        run(slot_machine, repo, "deploy", fails=True)
        load.answers["v1 before v4"] = load.answers.pop("v1")
        wait_for(load, "v1")
    title("status")
    run(slot_machine, repo, "status")


def look(slot_machine: str, repo: Path) -> None:
    """At the held version, by its link, as a program does: with the token in a field."""
    status = subprocess.run([slot_machine, "status", "--json"], cwd=repo, capture_output=True, check=True)
    link = json.loads(status.stdout)["candidate"]["preview_url"]
    address, _, token = link.partition("?slot-machine-preview=")
    for who, fields in (("visitors", {}), ("you", {"Slot-Machine-Preview": token})):
        with urlopen(Request(address, headers=fields)) as reply:
            print(f"{who} get {reply.read().decode()}", flush=True)


def give_account(load: Load, others: list[str]) -> None:
    title("account")
    for version, count in sorted(load.answers.items()):
        print(f"  {count:6} requests served by {version}")
    print(f"  {len(load.failures) - len(others):6} requests that v4 itself answered with 500")
    print(f"  {len(others):6} requests failed")
    for failure in others[:10]:
        print(f"         {failure}")


def start(argv: list[str], repo: Path, api_port: int) -> "subprocess.Popen[bytes]":
    """Returns when the API listens."""
    log = repo.with_name("daemon.log")
    with log.open("wb") as output:
        daemon = subprocess.Popen(argv, cwd=repo, stdout=output, stderr=output)
    while True:
        try:
            socket.create_connection(("127.0.0.1", api_port), 1).close()
            return daemon
        except OSError:
            if daemon.poll() is not None:
                sys.exit(log.read_text())
            time.sleep(0.05)


def wait_for(load: Load, version: str) -> None:
    """Waits until that version has answered 200 requests, for 30 s at most."""
    ends_s = time.monotonic() + 30
    while load.answers[version] < 200 and time.monotonic() < ends_s:
        time.sleep(0.01)


def commit(repo: Path, version: str, fails: float = 0.0) -> None:
    app = APP.read_text().replace('"v1"', f'"{version}"').replace("FAILS = 0.0", f"FAILS = {fails}")
    (repo / "app.py").write_text(app)
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message", version)


def git(repo: Path, *args: str) -> None:
    who = {f"GIT_{role}_{field}": "demo@localhost" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    subprocess.run(["git", *args], cwd=repo, check=True, env=os.environ | who)


def run(slot_machine: str, repo: Path, *command: str, fails: bool = False) -> None:
    done = subprocess.run([slot_machine, *command], cwd=repo, check=False)
    if fails != (done.returncode != 0):
        sys.exit(f"`{' '.join(command)}` has ended with {done.returncode}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
