"""What builds images: `docker buildx`, BuildKit inside of an engine, or the engine alone."""

import json
import re
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from slot_machine.core.errors import StageFailed
from slot_machine.core.phases import Phase
from slot_machine.engines.client import Client

LIMIT_S = 1800.0
"""To pull an image."""
FIRST_WITH_BUILDKIT = (18, 9)
FIRST_WITHOUT_OWN_BUILDKIT = 23
"""Clients from this version on need buildx for BuildKit."""
MOST_LINES = 20

Lines = Generator[str, None, int]
"""Of a program's output; returns its exit code."""

STEP = re.compile(r"^(?:Step \d+/\d+ : |#(\d+) \[[^\]]*\] )(.*)")
"""What is run, as the engine alone and as BuildKit print it."""
PREFIX = re.compile(r"^#\d+ (?:\d+\.\d+ )?")
FAILED = re.compile(r"^#(\d+) ERROR")
NOISE = re.compile(
    r"^ ---> |^Removing intermediate container|^#\d+ (DONE|CACHED|transferring|sha256:|\.\.\.)|^-+$|^ > \[|^$"
)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""The engine alone prints in red what a step prints to stderr, also into a pipe."""
CACHED = re.compile(r"^#(\d+) CACHED| ---> Using cache")


class Builder:
    """`client` runs `docker` with the environment that the way of building needs."""

    def __init__(self, client: Client, platforms: Sequence[str], *, buildx: bool, buildkit: bool) -> None:
        self.client = client
        self._buildx = buildx
        self._buildkit = buildkit
        self._platforms = frozenset(platforms)

    def check(self, wanted: Sequence[str], *, has_registry: bool) -> None:
        """Raises StageFailed if it can't build for all of these platforms."""
        if missing := [each for each in wanted if each not in self._platforms]:
            own = ", ".join(sorted(self._platforms))
            what = f"docker here builds for {own}, and the cluster has nodes of {missing[0]}"
            hint = "build where docker has that platform: on such a machine, or by buildx with QEMU (docs/engines.md)"
            raise StageFailed(Phase.BUILD, what, hint=hint)
        if len(wanted) > 1 and not (self._buildx and has_registry):
            what = f"the cluster has nodes of {' and '.join(wanted)}: one image for both needs buildx and a registry"
            raise StageFailed(Phase.BUILD, what, hint="install docker buildx, and set `registry`")

    def args(self, image: str, file: Path, labels: Mapping[str, str], platforms: Sequence[str]) -> list[str]:
        """Without the folder that is sent to the builder. Images for several platforms go to the registry at once."""
        marks = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        where = ["--platform", ",".join(platforms)] if platforms and (self._buildx or self._differs(platforms)) else []
        verb = ["buildx", "build", "--push" if len(platforms) > 1 else "--load"] if self._buildx else ["build"]
        progress = ["--progress", "plain"] if self._buildx or self._buildkit else []
        return [*verb, *progress, *where, "--file", str(file), "--tag", image, *marks]

    def label_in_registry(self, image: str, name: str) -> str | None:
        """Empty if there is no such image; None if it can't be told without a pull."""
        if not self._buildx:
            return None
        answer = self.client.attempt("buildx", "imagetools", "inspect", "--format", "{{json .Image}}", image)
        if answer.code:
            return ""
        found: object = json.loads(answer.out)
        return _label(found, name) if isinstance(found, dict) else ""

    def _differs(self, platforms: Sequence[str]) -> bool:
        return not self._platforms.issuperset(platforms) or len(self._platforms) > 1


def found(docker: Client) -> Builder:
    """Raises EngineFailed."""
    asked = docker.ask("version", "--format", "{{json .}}")
    versions = asked if isinstance(asked, dict) else {}
    client, server = _part(versions, "Client"), _part(versions, "Server")
    own = f"{server.get('Os', 'linux')}/{server.get('Arch', '')}"
    if docker.attempt("buildx", "version").code == 0:
        text = docker.attempt("buildx", "inspect", "--bootstrap", limit_s=LIMIT_S).out
        listed = re.search(r"^Platforms:\s*(.*)$", text, re.MULTILINE)
        platforms = [normal(each.strip(" *")) for each in listed[1].split(",")] if listed else [normal(own)]
        return Builder(docker, platforms, buildx=True, buildkit=True)
    can = _numbers(client) < (FIRST_WITHOUT_OWN_BUILDKIT,) and _numbers(server) >= FIRST_WITH_BUILDKIT
    asked_for = docker.with_environment({"DOCKER_BUILDKIT": "1" if can else "0"})
    return Builder(asked_for, [normal(own)], buildx=False, buildkit=can)


def normal(platform: str) -> str:
    """`linux/arm64` for `linux/arm64/v8`: they are the same."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    system, _, rest = platform.partition("/")
    machine = rest.removesuffix("/v8") if rest.startswith("arm64") else rest
    return f"{system}/{names.get(machine, machine)}"


class Output:
    """Of a build: the last lines of the step that failed, and what that step was."""

    def __init__(self) -> None:
        self._step = ""
        self._steps: dict[str, str] = {}
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def add(self, line: str) -> str:
        """The line as people should see it; empty if they need not."""
        line = COLOUR.sub("", line)
        if step := STEP.match(line):
            self._steps[step[1] or ""] = step[2]
            self._step = step[2]
            if not step[1]:  # The engine alone takes one step after the other.
                self._lines.clear()
        if failed := FAILED.match(line):
            self._step = self._steps.get(failed[1], self._step)
        if NOISE.match(line) and not CACHED.search(line):
            return ""
        text = PREFIX.sub("", line).rstrip()
        self._lines.append(text)
        return text

    @property
    def step(self) -> str:
        return self._step

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


def _label(image: Mapping[str, object], name: str) -> str:
    """Of the first platform, if there are several: all were built together."""
    config = image.get("config") or image.get("Config")
    if not isinstance(config, dict):
        inner = next((each for each in image.values() if isinstance(each, dict)), {})
        config = inner.get("config") or inner.get("Config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    return str(labels.get(name, "")) if isinstance(labels, dict) else ""


def _part(versions: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = versions.get(name)
    return part if isinstance(part, dict) else {}


def _numbers(part: Mapping[str, object]) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", str(part.get("Version", "")))
    return tuple(map(int, found.groups())) if found else (0, 0)
