"""Whether a swarm can run apps from here, one thing after the other: what is wrong, and what to do."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from slot_machine.core.engine_config import Swarm
from slot_machine.core.errors import EngineFailed
from slot_machine.engines.client import Answer, Client
from slot_machine.engines.engine import Finding
from slot_machine.engines.image.registry_check import registry
from slot_machine.engines.swarm import nodes as machines
from slot_machine.engines.swarm.answers import Node
from slot_machine.engines.swarm.docker import Docker
from slot_machine.engines.swarm.edge_files import STACK, TRAEFIK

T = TypeVar("T")

OLDEST = (20, 10)
"""The first with jobs (API 1.41)."""
SSH_LIMIT_S = 30.0


class _Version(msgspec.Struct, frozen=True, rename="pascal"):
    version: str = ""


class _Versions(msgspec.Struct, frozen=True, rename="pascal"):
    client: _Version = _Version()
    server: _Version | None = None


class _Swarm(msgspec.Struct, frozen=True, rename="pascal"):
    local_node_state: str = ""
    control_available: bool = False
    error: str = ""


class _Plugins(msgspec.Struct, frozen=True, rename="pascal"):
    network: list[str] | None = None


class _Info(msgspec.Struct, frozen=True, rename="pascal"):
    swarm: _Swarm = _Swarm()
    plugins: _Plugins = _Plugins()


class _Ok(NamedTuple):
    """What was found, and whether the next checks make sense."""

    findings: list[Finding]
    goes_on: bool = True


def findings(docker: Docker, config: Swarm) -> Iterator[Finding]:
    """Ends after the first thing without which nothing else can be found out."""
    for step in (_client, _manager):
        found = step(docker, config)
        yield from found.findings
        if not found.goes_on:
            return
    found_nodes = docker.nodes()
    yield from _nodes(found_nodes)
    if config.registry:
        yield from registry(config.registry)
    else:
        yield from _by_ssh(found_nodes, config)
    yield from _edge(docker)


def _client(docker: Docker, config: Swarm) -> _Ok:
    try:
        answer = docker.client.attempt("version", "--format", "{{json .}}")
    except EngineFailed as error:
        return _Ok([Finding(str(error), error.hint)], goes_on=False)
    versions = _decoded(answer, _Versions)
    if not versions or not versions.server:
        return _Ok([Finding(f"no engine answers: {_said(answer)}", _reaching(answer, config))], goes_on=False)
    client, server = versions.client.version, versions.server.version
    found = []
    for what, version in (("client", client), ("engine", server)):
        if _number(version) < OLDEST:
            found.append(Finding(f"docker's {what} is {version}", "20.10 is the first that knows jobs: renew it"))
    return _Ok(found or [Finding(f"docker {client} reaches an engine {server}")])


def _reaching(answer: Answer, config: Swarm) -> str:
    said = answer.err.lower()
    if "context" in said and "not found" in said:
        return "`docker context ls` lists contexts; `docker context create` makes one: set engine.context to it"
    if "permission denied" in said and "sock" in said:
        return "you may not use the engine: become a member of the group docker on it, or use a context with ssh"
    if "ssh" in said:
        return "check that `ssh` to that machine works without a password, and that docker is installed there"
    where = f"the context {config.context!r}" if config.context else "docker's current context"
    return f"{where} has to lead to a running engine: `docker context ls`"


def _manager(docker: Docker, _: Swarm) -> _Ok:
    answer = docker.client.attempt("info", "--format", "{{json .}}")
    info = _decoded(answer, _Info) or _Info()
    swarm = info.swarm
    if swarm.local_node_state != "active":
        remedy = "make one by `docker swarm init`, or use a context that leads to a manager"
        return _Ok([Finding(f"the engine is in no swarm {swarm.error}".strip(), remedy)], goes_on=False)
    if not swarm.control_available:
        what = "the engine is a worker of its swarm, or its swarm has lost the majority of its managers"
        return _Ok(
            [Finding(what, "use a context that leads to a manager: `docker node ls` works there")], goes_on=False
        )
    if "overlay" not in (info.plugins.network or []):
        return _Ok([Finding("the engine has no overlay networks", "its kernel has to have vxlan")], goes_on=False)
    listed = docker.client.attempt("node", "ls")
    if listed.code:
        what = f"you may not ask for the nodes: {_said(listed)}"
        return _Ok([Finding(what, "ask who runs the swarm for the rights of a manager")], goes_on=False)
    return _Ok([Finding("it is a manager of its swarm, and has overlay networks")])


def _nodes(found: Iterable[Node]) -> Iterator[Finding]:
    found = list(found)
    for node in found:
        if not node.takes_tasks:
            remedy = "copies go to the other nodes until it is back, or `docker node update --availability active`"
            yield Finding(f"{node.name} is {node.status.state}, {node.spec.availability}", remedy, fatal=False)
        if _number(node.description.engine.engine_version) < OLDEST:
            what = f"{node.name} has an engine {node.description.engine.engine_version}"
            yield Finding(what, "20.10 is the first that knows jobs: renew it")
    able = [node for node in found if node.takes_tasks]
    if not able:
        yield Finding("no node takes tasks", "`docker node ls` shows why")
        return
    platforms = sorted({machines.platform(node) for node in able})
    yield Finding(f"{len(able)} {'node takes' if len(able) == 1 else 'nodes take'} tasks: {', '.join(platforms)}")
    managers = sum(node.spec.role == "manager" for node in found)
    if managers == 2:
        what = "the swarm has 2 managers: if one is away, nothing can be changed"
        yield Finding(what, "have 1 or 3: `docker node promote`, `docker node demote`", fatal=False)


def _by_ssh(found: Iterable[Node], config: Swarm) -> Iterator[Finding]:
    """Without a registry, images go to the nodes by ssh."""
    for node in found:
        if not node.takes_tasks:
            continue
        try:
            place, answer = _asked_by_ssh(node, config)
        except EngineFailed as error:
            yield Finding(str(error), error.hint)
            continue
        if answer.code:
            remedy = f"make `ssh {place} docker version` work without a password; engine.nodes says where a node is"
            yield Finding(f"{node.name} can't be given images: ssh {place}: {_said(answer)}", remedy)
        else:
            yield Finding(f"{node.name} can be given images by ssh {place}")


def _asked_by_ssh(node: Node, config: Swarm) -> tuple[str, Answer]:
    """Where it is, and what docker there says. Raises EngineFailed."""
    place = machines.place(node.name, config.nodes)
    options = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10")
    question = ("docker", "version", "--format", "{{.Server.Version}}")
    return place, Client("ssh").attempt(*options, place, *question, limit_s=SSH_LIMIT_S)


def _edge(docker: Docker) -> Iterator[Finding]:
    names = [service.spec.name for service in docker.every_service()]
    if f"{STACK}_{TRAEFIK}" not in names:
        remedy = "`slot-machine edge install` makes one; without it, nobody outside of the swarm reaches an app"
        yield Finding("the swarm has no edge", remedy, fatal=False)
    else:
        yield Finding("the swarm has an edge")


def _decoded(answer: Answer, shape: type[T]) -> T | None:
    try:
        return msgspec.json.decode(answer.out, type=shape)
    except msgspec.DecodeError:
        return None


def _said(answer: Answer) -> str:
    return (answer.err or answer.out).strip().splitlines()[-1] if (answer.err or answer.out).strip() else "no answer"


def _number(version: str) -> tuple[int, ...]:
    """The first two numbers of it; versions such as `dev` are taken for new ones."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else (999,)
