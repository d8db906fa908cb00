"""The cluster that KUBECONFIG names, for tests: a namespace of their own, a shop in it, and visitors inside of it."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

REGISTRY = "SLOT_MACHINE_TEST_REGISTRY"
"""A prefix such as `registry.example.com/team`: docker here may push to it, and the cluster's nodes pull from it."""
BASE_IMAGE = "SLOT_MACHINE_TEST_BASE_IMAGE"
"""An image with python3 and a shell that docker here and the cluster's nodes can pull, such as `python:3.12-slim`."""

REPLICAS = 3
LIMIT_S = 900
APP = """
import http.server, os, signal, sys
if {crashes}:
    sys.exit("this version is bad")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"{word}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""
"""It ends at once on SIGTERM: requests come in only because a copy is asked late enough."""
VISITOR = """
import collections, time, urllib.request
counts, ends = collections.Counter(), time.monotonic() + {seconds}
while time.monotonic() < ends:
    try:
        with urllib.request.urlopen("http://shop/", timeout=10) as reply:
            counts[reply.read().decode()] += 1
    except Exception as error:
        counts["failed: " + type(error).__name__] += 1
    time.sleep(0.01)
print("COUNTS", dict(counts), flush=True)
"""


def missing() -> str:
    """Why there is no cluster to test with; empty if there is one."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG is not set: it names the cluster to test with"
    for name in (REGISTRY, BASE_IMAGE):
        if not os.environ.get(name):
            return f"{name} is not set: tests/kubernetes/cluster.py says what it is"
    for program in ("kubectl", "docker"):
        if not shutil.which(program):
            return f"{program} is not installed"
    answer = subprocess.run(
        ["kubectl", "version", "--request-timeout=10s"], capture_output=True, text=True, check=False
    )
    return "" if answer.returncode == 0 else f"the cluster does not answer: {answer.stderr.strip()[-300:]}"


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Shop:
    """`folder` is a repository with its slot-machine.json."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.namespace = namespace
        folder.mkdir()
        self._git("init", "--quiet")

    def commit(self, word: str, *, crashes: bool = False) -> str:
        """A version that answers with the word, or ends at its start."""
        (self.folder / "app.py").write_text(APP.format(word=word, crashes=crashes))
        config = {
            "name": "shop",
            "start_command": "python3 app.py",
            "health_endpoint": "/",
            "base_image": os.environ[BASE_IMAGE],
            "engine": {
                "kind": "kubernetes",
                "namespace": self.namespace,
                "replicas": REPLICAS,
                "registry": os.environ[REGISTRY],
            },
        }
        (self.folder / "slot-machine.json").write_text(json.dumps(config))
        self._git("add", "--all")
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        self._git(*who, "commit", "--quiet", "--allow-empty", "-m", word)
        return self._git("rev-parse", "HEAD").strip()

    def run(self, *args: str) -> Done:
        command = [sys.executable, "-m", "slot_machine", *args]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        return Done(done.returncode, done.stdout, done.stderr)

    def status(self) -> dict[str, object]:
        return cast(dict[str, object], json.loads(self.run("status", "--json").out))

    def kubectl(self, *args: str, given: str = "") -> str:
        command = ["kubectl", "--namespace", self.namespace, *args]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def visited(self, seconds: int) -> Iterator[dict[str, int]]:
        """By a Job inside of the cluster for so long. Its counts are there at the end."""
        name, counts = f"visitor-{secrets.token_hex(3)}", dict[str, int]()
        container = {
            "name": "app",
            "image": os.environ[BASE_IMAGE],
            "command": ["python3", "-c", VISITOR.format(seconds=seconds)],
        }
        spec = {"restartPolicy": "Never", "containers": [container]}
        job = {"backoffLimit": 0, "template": {"spec": spec}}
        item = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": job}
        self.kubectl("create", "-f", "-", given=json.dumps(item))
        self.kubectl("wait", "--for=jsonpath={.status.ready}=1", f"job/{name}", "--timeout=300s")
        yield counts
        self.kubectl("wait", "--for=condition=complete", f"job/{name}", f"--timeout={LIMIT_S}s")
        said = self.kubectl("logs", f"job/{name}").partition("COUNTS ")[2]
        counts |= json.loads(said.replace("'", '"'))

    def _git(self, *args: str) -> str:
        return subprocess.run(["git", *args], cwd=self.folder, capture_output=True, text=True, check=True).stdout


@contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """In a namespace that is removed afterwards."""
    namespace = f"slot-machine-test-{secrets.token_hex(4)}"
    subprocess.run(["kubectl", "create", "namespace", namespace], check=True, capture_output=True)
    try:
        yield Shop(folder / "shop", namespace)
    finally:
        subprocess.run(["kubectl", "delete", "namespace", namespace, "--wait=false"], check=False, capture_output=True)
