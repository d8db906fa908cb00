"""An app in the lab that is deployed as commands do it, but for its images: those are made from the lab's base here."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.origin import Description
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.engine import Steps
from slot_machine.engines.flow import Asked, Flow
from slot_machine.engines.image import layout
from slot_machine.engines.image.build import INPUTS
from slot_machine.engines.shape import App, Values, image_of
from slot_machine.engines.stages import Line
from slot_machine.engines.swarm.engine import SwarmEngine
from tests.swarm.images import BASE
from tests.swarm.lab import Lab

SHIM = Path(layout.__file__).with_name("shim.sh")
DOCKERFILE = f"""
FROM {BASE}
COPY shim.sh {layout.SHIM}
COPY app.py {layout.APP}/app.py
RUN mkdir -p {layout.SHARED} && chown {layout.USER} {layout.SHARED}
WORKDIR {layout.APP}
ARG VERSION
ARG BAD
ENV VERSION=$VERSION BAD=$BAD
LABEL {INPUTS}=$VERSION-$BAD
USER {layout.USER}
ENTRYPOINT ["/bin/sh", "{layout.SHIM}"]
CMD ["run", "exec python3 app.py"]
"""
APP = """
import http.server, os, signal, sys, threading
version, bad = os.environ["VERSION"], os.environ.get("BAD")
if bad == "exit":
    sys.exit("boom: no database")

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = version.encode()
        self.send_response(500 if bad == "health" and self.path == "/healthz" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("version", version, "has", os.environ.get("KEY", "no key"), flush=True)
server.serve_forever()
"""


class Images:
    def build(self, app: App, platforms: Sequence[str]) -> Steps:
        yield " ".join([app.image, *platforms])
        return ""


class Shop:
    """Versions are `1` to `9`: the digit of which the commit consists."""

    def __init__(self, lab: Lab, name: str, **engine: object) -> None:
        self.lab = lab
        self.name = name
        self.fields: dict[str, object] = {"engine": {"kind": "swarm", "replicas": 2} | engine, "port": 3000}
        self.version: dict[str, object] = {}
        self.values: dict[str, str] = {}

    @property
    def engine(self) -> SwarmEngine:
        config = self.app("0").engine
        assert isinstance(config, Swarm)
        return SwarmEngine(self.name, config)

    def app(self, version: str) -> App:
        daemon = msgspec.convert(self.fields, DaemonConfig)
        assert daemon.engine is not None
        return App(
            name=self.name,
            commit=version * 40,
            image=image_of(daemon.engine, self.name, version * 40),
            version=msgspec.convert(
                {"start_command": "./serve", "health_timeout_ms": 8000} | self.version, VersionConfig
            ),
            daemon=daemon,
            env_digest=Values(self.values).digest,
        )

    def make(self, version: str, bad: str = "") -> None:
        """Its image. `bad` is `exit` or `health`."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Dockerfile").write_text(DOCKERFILE)
            Path(folder, "app.py").write_text(APP)
            Path(folder, "shim.sh").write_bytes(SHIM.read_bytes())
            arguments = ("--build-arg", f"VERSION=v{version}", "--build-arg", f"BAD={bad}")
            self.lab.manager.docker("build", "--quiet", *arguments, "--tag", self.app(version).image, folder)

    def flow(self) -> Flow:
        return Flow(self.engine, Images(), self.name, Asked("ann"), Values(self.values))

    def deploy(self, version: str, bad: str = "") -> Line:
        """The reply."""
        self.make(version, bad)
        return self.last(self.flow().deploy(self.app(version), Description()))

    def rollback(self) -> Line:
        return self.last(self.flow().rollback(self.app("0").daemon))

    def last(self, lines: Iterator[Line]) -> Line:
        reply: Line = {}
        for line in lines:
            print(line, file=sys.stderr)
            reply = line
        return reply

    def running(self, process: str = "web") -> list[str]:
        """The versions of its healthy copies."""
        return [one.commit[0] for one in self.engine.status().copies if one.process == process and one.healthy]

    def inside(self, *argv: str) -> str:
        """Runs a command as `slot-machine run` does, in a program of its own for its output."""
        code = "import sys; from tests.swarm.by_flow import ran; ran(*sys.argv[1:])"
        config = msgspec.json.encode(self.app("0").engine).decode()
        done = subprocess.run(
            [sys.executable, "-c", code, self.name, config, *argv],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return f"{done.stdout}{done.returncode}"

    def remove(self) -> None:
        self.engine.remove(self.app("0"))
        for release in self.engine.releases():
            self.engine.forget([release])


def ran(name: str, config: str, *argv: str) -> None:
    sys.exit(SwarmEngine(name, msgspec.json.decode(config, type=Swarm)).run(argv, terminal=False))
