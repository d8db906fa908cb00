"""Images by real engines: built, brought to the nodes, and run."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from spec.waiting import wait_until

from slot_machine.core.daemon_config import DaemonConfig
from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import StageFailed
from slot_machine.core.version_config import VersionConfig
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Steps
from slot_machine.engines.image import layout, nodes, registry, variables
from slot_machine.engines.image.build import DockerImages
from slot_machine.engines.shape import App, image_of
from tests.repository import Repository
from tests.swarm import images
from tests.swarm.lab import REGISTRY, Lab

CLIENTS = {"docker": "docker", "Debian's docker": "/usr/bin/docker"}
AMD64 = ("linux/amd64",)
SERVER = """
import http.server, os, signal, sys
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
        self.wfile.write(os.environ.get("SECRET", "").encode())
signal.signal(signal.SIGTERM, lambda *_: (print("asked to end", flush=True), sys.exit(0)))
print("uid", os.getuid(), os.environ["SLOT_MACHINE_COMMIT"], flush=True)
http.server.HTTPServer((sys.argv[1], int(os.environ["PORT"])), App).serve_forever()
"""
FILES = {"app.py": SERVER, "requirements.txt": "one", "data/seed": "from the commit"}
numbers = itertools.count(1)


@pytest.fixture(params=CLIENTS)
def docker(request: pytest.FixtureRequest, lab: Lab) -> Client:
    if not shutil.which(CLIENTS[request.param]):
        pytest.skip(f"there is no {CLIENTS[request.param]}")
    return Client(CLIENTS[request.param], "-H", lab.manager.socket)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


@pytest.fixture
def run(docker: Client) -> Iterator[Callable[..., str]]:
    started: list[str] = []

    def begin(*args: str) -> str:
        started.append(docker.run("run", "--detach", *args).strip())
        return started[-1]

    yield begin
    for container in started:
        docker.attempt("rm", "--force", container)


def app(commit: str, prefix: str = "", **fields: object) -> App:
    fields = {"start_command": "exec python3 app.py 0.0.0.0", "base_image": images.BASE} | fields
    engine, name = Swarm(registry=prefix), f"shop{next(numbers)}"
    daemon = DaemonConfig(port=3000, engine=engine, env_file=".env")
    version = VersionConfig(**fields)  # type: ignore[arg-type]
    return App(name=name, commit=commit, image=image_of(engine, name, commit), version=version, daemon=daemon)


def done(steps: Steps) -> tuple[list[str], str]:
    lines = []
    while True:
        try:
            lines.append(next(steps))
        except StopIteration as end:
            return lines, str(end.value)


def test_an_app_is_built_and_runs(docker: Client, repository: Repository, run: Callable[..., str]) -> None:
    shop = app(
        repository.commit(FILES), setup_command="cp requirements.txt installed", setup_inputs=("requirements.txt",)
    )
    lines, summary = done(DockerImages(repository.path, docker).build(shop, AMD64))
    assert summary == f"built {shop.image}", lines
    container = run(shop.image)
    wait_until("it is healthy", lambda: _health(docker, container) == "healthy", 60)
    assert docker.run("logs", container).splitlines()[0] == f"uid 10001 {shop.commit}"
    assert "installed" in docker.run("exec", container, "ls")
    assert docker.run("exec", container, "id", "-un").strip() == "app"
    docker.run("stop", container)
    assert "asked to end" in docker.run("logs", container)
    assert docker.run("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"


def test_the_layer_of_the_setup_is_kept_while_its_inputs_are(docker: Client, repository: Repository) -> None:
    seen = []
    for text, needed in (("1", "one"), ("2", "one"), ("3", "two")):
        shop = app(
            repository.commit(FILES | {"app.py": text, "requirements.txt": needed}),
            setup_command="date +%s%N > installed",
            setup_inputs=("requirements.txt",),
            build_command="cat app.py > built",
        )
        done(DockerImages(repository.path, docker).build(shop, AMD64))
        seen.append(docker.run("run", "--rm", shop.image, "run", "cat installed built").split())
    assert seen[0][0] == seen[1][0] != seen[2][0]
    assert [built[-1] for _, built in seen] == ["1", "2", "3"]


def test_the_same_image_is_not_built_again(docker: Client, repository: Repository) -> None:
    shop = app(repository.commit(FILES))
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    assert (
        done(DockerImages(repository.path, docker).build(shop, AMD64))[1] == f"skipped: {shop.image} is there already"
    )


@pytest.mark.parametrize(("field", "stage"), [("setup_command", "setup"), ("build_command", "build")])
def test_a_command_that_fails(docker: Client, repository: Repository, field: str, stage: str) -> None:
    shop = app(repository.commit(FILES), **{field: "echo 'no key' >&2; exit 3"})
    with pytest.raises(StageFailed) as failure:
        done(DockerImages(repository.path, docker).build(shop, AMD64))
    assert failure.value.stage == stage
    assert "no key" in "\n".join(failure.value.output)
    assert "without the variables of env_file" in failure.value.hint


def test_no_secret_is_in_an_image(docker: Client, repository: Repository) -> None:
    shop = app(repository.commit(FILES | {".env": "SECRET=hunter2"}), build_command="ls -a > list")
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    listed = docker.run("run", "--rm", shop.image, "run", "cat list").split()
    assert not {".env", ".git"} & set(listed)
    assert "hunter2" not in docker.run("history", "--no-trunc", shop.image)


def test_shared_data_is_in_a_volume(docker: Client, repository: Repository) -> None:
    shop = app(repository.commit(FILES), shared_dirs=("data", "media/up"), shared_files=("config/key",))
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    mount = ("--volume", f"{shop.name}:{layout.SHARED}")
    command = layout.command("cat data/seed; echo new > media/up/file; echo k > config/key")
    assert docker.run("run", "--rm", *mount, shop.image, *command) == "from the commit"
    command = layout.command("cat media/up/file config/key")
    assert docker.run("run", "--rm", *mount, shop.image, *command).split() == ["new", "k"]
    empty = ("--tmpfs", f"{layout.SHARED}:uid={layout.USER}")
    assert (
        docker.run("run", "--rm", *empty, shop.image, *layout.command("ls data media/up; echo k > config/key"))
        == "data:\n\nmedia/up:\n"
    )
    docker.run("volume", "rm", shop.name)


def test_it_serves_on_after_sigterm_and_has_its_variables(
    docker: Client, repository: Repository, run: Callable[..., str], tmp_path: Path
) -> None:
    shop = app(repository.commit(FILES))
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    secret = tmp_path / "env"
    secret.write_text(variables.written({"SECRET": "a b'$(id)"}))
    secret.chmod(0o644)
    mount = f"type=bind,source={secret},target=/run/secrets/env,readonly"
    container = run(
        "--mount",
        mount,
        "--env",
        f"{layout.ENV_FILE}=/run/secrets/env",
        "--env",
        f"{layout.STOP_DELAY}=1500",
        shop.image,
    )
    wait_until("it is healthy", lambda: _health(docker, container) == "healthy", 60)
    began_s = time.monotonic()
    with subprocess.Popen(docker.argv("stop", "--time", "20", container), stdout=subprocess.DEVNULL) as stop:
        ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:3000/healthz').read().decode())"
        assert docker.run("exec", container, "python3", "-c", ask).strip() == "a b'$(id)"
        assert stop.wait(30) == 0
    assert time.monotonic() - began_s >= 1.5
    assert docker.run("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"


def test_an_app_that_listens_on_the_loopback_alone_is_unhealthy(
    docker: Client, repository: Repository, run: Callable[..., str]
) -> None:
    shop = app(repository.commit(FILES), start_command="python3 app.py localhost")
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    container = run("--health-retries", "1", "--health-start-period", "1s", "--health-interval", "500ms", shop.image)
    wait_until("it is unhealthy", lambda: _health(docker, container) == "unhealthy", 60)
    assert "let it listen on 0.0.0.0" in docker.run("inspect", "--format", "{{json .State.Health.Log}}", container)


def test_the_users_own_dockerfile_wins(docker: Client, repository: Repository) -> None:
    own = f"FROM {images.BASE}\nCOPY hello /\nCMD cat /hello\n"
    shop = app(repository.commit({"web/Dockerfile": own, "web/hello": "hi"}), root="web")
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    assert docker.run("run", "--rm", shop.image) == "hi"
    labels = json.loads(docker.run("image", "inspect", "--format", "{{json .Config.Labels}}", shop.image))
    assert labels["org.opencontainers.image.revision"] == shop.commit


def test_a_platform_that_the_builder_has_not_is_refused(docker: Client, repository: Repository) -> None:
    with pytest.raises(StageFailed, match="the cluster has nodes of linux/arm64"):
        done(DockerImages(repository.path, docker).build(app(repository.commit(FILES)), ("linux/arm64",)))


def test_a_registry_gets_it_and_saves_a_build(docker: Client, repository: Repository) -> None:
    shop = app(repository.commit(FILES), f"{REGISTRY}/team")
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    digest = done(registry.push(docker, shop.image))[1]
    assert digest.startswith("sha256:")
    docker.run("image", "rm", "--force", shop.image)
    assert done(DockerImages(repository.path, docker).build(shop, AMD64))[1].startswith("skipped")


def test_a_registry_that_is_not_there(docker: Client) -> None:
    image = "192.168.77.254:5999/team/shop:1"
    docker.run("tag", images.BASE, image)
    with pytest.raises(StageFailed) as failure:
        done(registry.push(docker, image))
    assert failure.value.hint == "192.168.77.254:5999 does not answer"


def test_each_node_gets_it_once(docker: Client, repository: Repository, lab: Lab) -> None:
    shop = app(repository.commit(FILES))
    done(DockerImages(repository.path, docker).build(shop, AMD64))
    to = nodes.Nodes(docker, {node.name: node.name for node in lab.nodes})
    assert to.differing(shop.image) == ["node2"]
    assert done(to.give(shop.image)) == (["node2 has it"], "2 nodes have it; 1 lacked it")
    assert to.differing(shop.image) == []
    assert done(to.give(shop.image)) == ([], "each node had it")
    lab.nodes[1].docker("tag", images.BASE, shop.image)
    assert to.differing(shop.image) == ["node2"]
    assert done(to.give(shop.image))[1] == "2 nodes have it; 1 lacked it"


def test_a_node_that_can_not_be_reached_is_named(docker: Client) -> None:
    to = nodes.Nodes(docker, {"node1": "node1", "node9": "node9.invalid"})
    with pytest.raises(StageFailed, match=r"^node9: ssh: "):
        done(to.give(images.BASE))


def _health(docker: Client, container: str) -> str:
    return docker.run("inspect", "--format", "{{.State.Health.Status}}", container).strip()
