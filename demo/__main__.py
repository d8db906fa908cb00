"""Deploys v1. Then deploys v2 and rolls back under load. Usage: python -m demo PATH_OF_SLOT_MACHINE"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo.load import Load

APP = Path(__file__).with_name("app.py")


def main(slot_machine: str) -> int:
    with tempfile.TemporaryDirectory(prefix="slot-machine-demo-") as folder:
        repo = Path(folder, "app")
        repo.mkdir()
        port, api_port = free_port(), free_port()
        config = {
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
            title("status")
            run(slot_machine, repo, "status")
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    give_account(load)
    return 1 if load.failures else 0


def give_account(load: Load) -> None:
    title("account")
    for version, count in sorted(load.answers.items()):
        print(f"  {count:6} requests served by {version}")
    print(f"  {len(load.failures):6} requests failed")
    for failure in load.failures[:10]:
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
    """Waits until that version has answered 200 requests, or 200 requests have failed."""
    while load.answers[version] < 200 and len(load.failures) < 200:
        time.sleep(0.01)


def commit(repo: Path, version: str) -> None:
    (repo / "app.py").write_text(APP.read_text().replace('"v1"', f'"{version}"'))
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message", version)


def git(repo: Path, *args: str) -> None:
    who = {f"GIT_{role}_{field}": "demo@localhost" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    subprocess.run(["git", *args], cwd=repo, check=True, env=os.environ | who)


def run(slot_machine: str, repo: Path, command: str) -> None:
    subprocess.run([slot_machine, command], cwd=repo, check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
