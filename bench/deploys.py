"""Usage: python -m bench.deploys PATH_OF_SLOT_MACHINE. Prints how long each stage of a deploy takes, as Markdown.

It installs an Express app with 300 packages and a Django app from their public registries, again and again.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from demo.__main__ import free_port, git, start

ROUNDS = 3
TREES = 3
STAGES = ("checkout", "setup", "release", "start", "health", "drain")

SERVER = """const app = require('express')()
require('ejs'); require('lodash'); require('winston'); require('mongoose')
app.get('/healthz', (request, reply) => reply.send('ok'))
app.get('/', (request, reply) => reply.send('version 0'))
const server = app.listen(process.env.PORT, '127.0.0.1', () => process.send && process.send('ready'))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
"""
NODE_PACKAGES = ("express", "ejs", "lodash", "morgan", "helmet", "winston", "mongoose", "axios", "jest", "supertest")
PYTHON_PACKAGES = ("django", "djangorestframework", "gunicorn", "whitenoise", "requests", "pillow", "celery", "redis")
SETTINGS = """import os
from django.http import HttpResponse
from django.urls import path
SECRET_KEY, ALLOWED_HOSTS, ROOT_URLCONF = "bench", ["*"], "shop"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"]
urlpatterns = [path("healthz", lambda _: HttpResponse("ok")), path("", lambda _: HttpResponse("version 0"))]
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop")
application = get_wsgi_application() if os.environ.get("SERVES") else None
"""


class App(NamedTuple):
    """`source` is the file in which one line changes for each deploy."""

    name: str
    source: str
    make: Callable[[Path], dict[str, object]]


def express(folder: Path) -> dict[str, object]:
    (folder / "server.js").write_text(SERVER)
    packages = dict.fromkeys(NODE_PACKAGES, "*")
    (folder / "package.json").write_text(json.dumps({"name": "shop", "private": True, "dependencies": packages}))
    subprocess.run(["npm", "install", "--package-lock-only", "--silent"], cwd=folder, check=True)
    return {"setup_command": "npm ci --no-audit --no-fund", "start_command": "exec node server.js"}


def django(folder: Path) -> dict[str, object]:
    (folder / "shop.py").write_text(SETTINGS)
    (folder / "requirements.txt").write_text("\n".join(PYTHON_PACKAGES) + "\n")
    env = f"export DATABASE={folder.parent}/shop.db DJANGO_SETTINGS_MODULE=shop"
    return {
        "setup_command": "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt",
        "release_command": f"{env}; .venv/bin/django-admin migrate --pythonpath . --verbosity 0",
        "start_command": f"{env} SERVES=1; exec .venv/bin/gunicorn --bind 127.0.0.1:$PORT shop",
    }


APPS = (App("Express", "server.js", express), App("Django", "shop.py", django))


class Repository:
    def __init__(self, slot_machine: str, folder: Path, app: App) -> None:
        self._slot_machine = slot_machine
        self._app = app
        self.folder = folder / app.name
        self.folder.mkdir()
        self._api_port = free_port()
        fields = {"port": free_port(), "api_port": self._api_port, "health_timeout_ms": 60_000}
        (self.folder / "slot-machine.json").write_text(json.dumps(fields | app.make(self.folder)))
        (self.folder / ".gitignore").write_text(".slot-machine\nnode_modules\n.venv\n__pycache__\n")
        git(self.folder, "init", "--quiet")
        self.change()

    def change(self) -> None:
        """Commits a change of one line."""
        source = self.folder / self._app.source
        source.write_text(source.read_text().replace("version 0", f"version 0.{time.monotonic_ns()}", 1))
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--message", "next")

    def daemon(self) -> "subprocess.Popen[bytes]":
        return start([self._slot_machine, "start"], self.folder, self._api_port)

    def deploy(self, *options: str) -> dict[str, float]:
        """Returns the seconds of each stage, and of all."""
        self.change()
        subprocess.run([self._slot_machine, "deploy", *options], cwd=self.folder, check=True, capture_output=True)
        connection = http.client.HTTPConnection("127.0.0.1", self._api_port, timeout=60)
        connection.request("GET", "/history?limit=1")
        attempt = json.loads(connection.getresponse().read())[0]
        connection.close()
        return {**attempt["stage_seconds"], "all": attempt["seconds"]}


def measure(slot_machine: str, folder: Path, app: App) -> list[str]:
    repository = Repository(slot_machine, folder, app)
    daemon = repository.daemon()
    try:
        first = [repository.deploy() for _ in range(TREES)]
        rows = {
            "the first deploy": [first[0]],
            "the second one, in a new tree": [first[1]],
            "with the skip": [repository.deploy() for _ in range(ROUNDS)],
            "without it (`--setup`)": [repository.deploy("--setup") for _ in range(ROUNDS)],
        }
    finally:
        daemon.terminate()
        daemon.wait()
    return [line(f"{app.name}, {name}", seconds) for name, seconds in rows.items()]


def line(name: str, seconds: list[dict[str, float]]) -> str:
    """Each figure is the median."""
    cells = [f"{median(each.get(stage, 0) for each in seconds):.2f}" for stage in (*STAGES, "all")]
    return f"| {name} | {' | '.join(cells)} |"


def pm2(folder: Path) -> str:
    """`npm ci` in the app's folder, then `pm2 reload` of two processes of it."""
    place, home = folder / "Express", folder / "pm2"
    subprocess.run(["npm", "install", "--silent", "--prefix", str(home), "pm2"], check=True, capture_output=True)
    env = os.environ | {"PM2_HOME": str(home / "home"), "PORT": str(free_port())}
    command = str(home / "node_modules/.bin/pm2")
    seconds: list[dict[str, float]] = []
    subprocess.run(["npm", "ci", "--silent"], cwd=place, check=True)
    try:
        subprocess.run([command, "start", "server.js", "-i", "2"], cwd=place, env=env, check=True, capture_output=True)
        for _ in range(ROUNDS):
            times = [time.monotonic()]
            for argv in (["npm", "ci", "--silent", "--no-audit", "--no-fund"], [command, "reload", "server"]):
                subprocess.run(argv, cwd=place, env=env, check=True, capture_output=True)
                times.append(time.monotonic())
            seconds.append({"setup": times[1] - times[0], "start": times[2] - times[1], "all": times[2] - times[0]})
    finally:
        subprocess.run([command, "kill"], env=env, check=False, capture_output=True)
    return line("Express, `npm ci` and `pm2 reload`", seconds)


def table(slot_machine: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="slot-machine-bench-") as name:
        folder = Path(name)
        lines = [f"| seconds, after a change of one line | {' | '.join(STAGES)} | all |", f"| --- |{' ---: |' * 7}"]
        for app in APPS:
            lines += measure(slot_machine, folder, app)
            print("\n".join(lines), file=sys.stderr, flush=True)
        packages = len(json.loads((folder / "Express/package-lock.json").read_text())["packages"]) - 1
        return [*lines, pm2(folder), "", f"The Express app has {packages} packages."]


if __name__ == "__main__":
    if lacking := [program for program in ("node", "npm", "python3") if not shutil.which(program)]:
        sys.exit(f"install these first: {', '.join(lacking)}")
    print("\n".join(table(os.path.abspath(sys.argv[1]))))
