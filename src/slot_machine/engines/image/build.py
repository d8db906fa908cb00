"""Builds the image of an app's commit, where there is none that is the same."""

import hashlib
import json
import re
import signal
from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import NamedTuple

from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import StageFailed
from slot_machine.core.model import short
from slot_machine.core.phases import Phase
from slot_machine.detect.project import Project, Unreadable
from slot_machine.engines.client import Client
from slot_machine.engines.engine import Steps
from slot_machine.engines.image import builder, dockerfile
from slot_machine.engines.image.base import base_of
from slot_machine.engines.image.checkout import Checkout, checked_out
from slot_machine.engines.image.listening import for_everybody
from slot_machine.engines.shape import App

INPUTS = "slot-machine.inputs"
"""The label with a digest of all that the image is made of."""
PLACES = dockerfile.Places()

NO_VALUES = "setup and build run without the variables of env_file, because an image keeps no secrets"
LACKS = {
    r"gyp ERR|g?cc: (command )?not found|command 'x86_64-linux-gnu-gcc' failed|make: not found|pg_config": "a compiler",
    r"git: not found|spawn git ENOENT|Cannot find command 'git'": "git",
}
"""What the slim images do not have, by what tools print without it."""


class Recipe(NamedTuple):
    """What `docker build` gets. `digest` is of all of it."""

    dockerfile: Path
    context: Path
    digest: str


class DockerImages:
    """`repo` is the user's repository, or a folder in it. `docker` builds; by default that of this computer.

    For a swarm without a registry it is the engine of the swarm's context.
    """

    def __init__(self, repo: Path, docker: Client | None = None) -> None:
        self._docker = docker
        self._repo = repo

    def build(self, app: App, platforms: Sequence[str]) -> Steps:
        """The image of the app's commit, for these platforms. Raises StageFailed, GitFailed, EngineFailed."""
        wanted = tuple(dict.fromkeys(map(builder.normal, platforms)))
        yield f"check out {short(app.commit)}"
        with checked_out(self._repo, app.commit, app.version.root) as checkout:
            recipe = _recipe(app, checkout, wanted)
            docker = self._docker or client_of(app)
            how = builder.found(docker)
            if _is_there(docker, app, how, recipe.digest, wanted):
                return f"skipped: {app.image} is there already"
            how.check(wanted, has_registry=bool(app.engine.registry))
            if not app.own_dockerfile and for_everybody(app.version.start_command) != app.version.start_command:
                yield f"start_command is `{for_everybody(app.version.start_command)}` in the image"
            labels = dockerfile.labels(app) | {INPUTS: recipe.digest}
            args = how.args(app.image, recipe.dockerfile, labels, wanted)
            limit_s = builder.LIMIT_S + 2 * app.version.setup_timeout_s
            lines = how.client.lines(*args, str(recipe.context), limit_s=limit_s)
            output = builder.Output()
            code = yield from _told(lines, output)
        if code == -signal.SIGKILL:
            raise StageFailed(Phase.BUILD, f"docker build did not end within {limit_s:g} s", output.lines)
        if code:
            raise _failure(app, output)
        return f"built {app.image}"


def client_of(app: App) -> Client:
    """The docker that builds an app's images."""
    engine = app.engine
    if isinstance(engine, Swarm) and engine.context and not engine.registry:
        return Client("docker", "--context", engine.context)
    return Client("docker")


def _recipe(app: App, checkout: Checkout, platforms: Sequence[str]) -> Recipe:
    """Raises StageFailed."""
    root = checkout.folder / app.version.root
    own = root / "Dockerfile"
    if own.is_file():
        return Recipe(own, root, _digest(app.commit, own.read_text(errors="replace"), *platforms))
    text, shim = written(app, checkout, PLACES), shim_text()
    ignored = dockerfile.ignored(app, checkout.top, PLACES.app)
    checkout.folder.rename(checkout.place / PLACES.app)
    ours = checkout.place / PLACES.own
    ours.mkdir()
    (ours / "shim.sh").write_text(shim)
    (ours / "shim.sh").chmod(0o755)
    (ours / "Dockerfile").write_text(text)
    (checkout.place / ".dockerignore").write_text(ignored)
    return Recipe(ours / "Dockerfile", checkout.place, _digest(app.commit, text, shim, ignored, *platforms))


def _is_there(docker: Client, app: App, how: builder.Builder, digest: str, platforms: Sequence[str]) -> bool:
    """Here, or else in the registry."""
    if len(platforms) < 2 and _label(docker, app.image) == digest:
        return True
    if not app.engine.registry:
        return False
    if (label := how.label_in_registry(app.image, INPUTS)) is not None:
        return label == digest
    pulled = docker.attempt("pull", "--quiet", app.image, limit_s=builder.LIMIT_S)
    return pulled.code == 0 and _label(docker, app.image) == digest


def _label(docker: Client, image: str) -> str:
    """Empty if there is no such image here."""
    answer = docker.attempt("image", "inspect", "--format", "{{json .Config.Labels}}", image)
    found: object = json.loads(answer.out) if answer.code == 0 else None
    return str(found.get(INPUTS, "")) if isinstance(found, dict) else ""


def written(app: App, checkout: Checkout, places: dockerfile.Places) -> str:
    """The Dockerfile. Raises StageFailed."""
    try:
        base = base_of(app.version, Project(checkout.folder / app.version.root, checkout.folder))
    except Unreadable as error:
        raise StageFailed(Phase.BUILD, str(error), hint="correct it, commit it, and deploy that commit") from None
    return dockerfile.written(app, base, dockerfile.setup_files(app.version, checkout.files), places)


def shim_text() -> str:
    return (resources("slot_machine.engines.image") / "shim.sh").read_text()


def _told(lines: builder.Lines, output: builder.Output) -> builder.Lines:
    """Ends the program if nobody reads on."""
    try:
        while True:
            try:
                line = next(lines)
            except StopIteration as end:
                return int(end.value)
            if text := output.add(line):
                yield text
    finally:
        lines.close()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _failure(app: App, output: builder.Output) -> StageFailed:
    is_setup = _is(output.step, app.version.setup_command)
    is_build = _is(output.step, app.version.build_command)
    lacking = [what for pattern, what in LACKS.items() if any(re.search(pattern, line) for line in output.lines)]
    hint = f"the base image has no {lacking[0]}: set base_image to one that is not slim" if lacking else ""
    if is_setup and not is_build:
        return StageFailed(Phase.SETUP, "setup_command failed in the image", output.lines, hint or NO_VALUES)
    what = "build_command failed in the image" if is_build else "docker build failed"
    return StageFailed(Phase.BUILD, what, output.lines, hint or (NO_VALUES if is_build else ""))


def _is(step: str, command: str | None) -> bool:
    return bool(command) and step == dockerfile.run(command or "")
