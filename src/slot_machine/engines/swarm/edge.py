"""The edge of a swarm: Traefik on its nodes, and a proxy that lets it ask the engine which services there are.

What is installed is what the engine says; nothing is kept elsewhere. All calls raise EngineFailed.
"""

import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from slot_machine.core.errors import ConfigError, EngineFailed
from slot_machine.engines.client import Client
from slot_machine.engines.swarm import edge_files, labels
from slot_machine.engines.swarm.docker import Docker
from slot_machine.engines.swarm.edge_files import (
    ACME,
    API,
    API_NETWORK,
    DIGEST,
    NODE,
    STACK,
    TRAEFIK,
    Certificate,
    Kept,
)
from slot_machine.engines.swarm.edge_settings import SwarmEdge, content
from slot_machine.engines.swarm.edge_status import FORM, EdgeStatus, Task, domains, task_of

DEPLOY_LIMIT_S = 120.0
RUNNING_LIMIT_S = 300.0
"""For the nodes to pull both images, and to start them one after the other."""
STEADY_S = 3.0
"""So long both services have to run: what ends at once does so by then."""
POLL_S = 0.5
MOST_FAILURES = 3
"""Tasks that end at once: the next one will, too."""


class Edge:
    def __init__(self, docker: Client) -> None:
        self._docker = docker

    def install(self, edge: SwarmEdge) -> Iterator[str]:
        """Tells what it does. Does nothing that is done already. Raises ConfigError too."""
        own = [Certificate(content(each.cert), content(each.key)) for each in edge.certificates]
        roots = content(edge.acme_ca_roots) if edge.acme_ca_roots else ""
        nodes = list(edge.nodes) or self._nodes() or [self._asked()]
        edge = msgspec.structs.replace(edge, nodes=tuple(nodes))
        self._mark(nodes)
        self.network()
        # Nothing on it can leave the swarm.
        self._make_network(API_NETWORK, "--internal")
        files = edge_files.kept(edge, own, roots)
        for each in files.values():
            self._keep(each)
        earlier = {task.id for task in self._tasks(ended=True)}
        yield f"deploy {edge.image} to {', '.join(nodes)}"
        if not edge_files.orders(edge):
            yield "warning: on several nodes it gets no certificates; `certificates` of edge.json names your own"
        self._docker.run(
            *("stack", "deploy", "--resolve-image", "changed", "--compose-file", "-", STACK),
            given=edge_files.stack(edge, files),
            limit_s=DEPLOY_LIMIT_S,
        )
        self._wait(nodes, edge_files.made_of(edge, files), earlier)
        self._forget(files.values())

    def uninstall(self) -> None:
        """The certificates stay in their volume, and the network of the apps stays."""
        self._docker.run("stack", "rm", STACK, limit_s=DEPLOY_LIMIT_S)
        deadline_s = time.monotonic() + DEPLOY_LIMIT_S
        while self._tasks() and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        self._forget([])
        self._docker.attempt("network", "rm", API_NETWORK)
        for node in self._nodes():
            self._label("--label-rm", NODE, node)

    def status(self) -> EdgeStatus:
        services = Docker(client=self._docker).every_service()
        traefik = next((each.spec for each in services if each.spec.name == f"{STACK}_{TRAEFIK}"), None)
        image = self._image() if traefik else ""
        return EdgeStatus(
            image=image,
            nodes=self._nodes(),
            orders=traefik is not None and traefik.label(ACME) == "yes",
            tasks=self._tasks(),
            domains=list(domains([each.spec for each in services])),
        )

    def network(self) -> None:
        """On which the edge reaches the apps."""
        self._make_network(labels.NETWORK, "--attachable")

    def _make_network(self, name: str, option: str) -> None:
        if name in self._lines("network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}"):
            return
        answer = self._docker.attempt("network", "create", "--driver", "overlay", option, name)
        if answer.code and "already exists" not in answer.err:
            raise self._docker.failure("network create", answer)

    def _mark(self, wanted: Sequence[str]) -> None:
        """The label of the nodes that have the edge. Raises ConfigError."""
        known = self._lines("node", "ls", "--format", "{{.Hostname}}")
        if missing := [name for name in wanted if name not in known]:
            raise ConfigError(f"the swarm has no node {missing[0]}", f"its nodes are {', '.join(sorted(known))}")
        before = self._nodes()
        for name in wanted:
            if name not in before:
                self._label("--label-add", f"{NODE}=yes", name)
        for name in before:
            if name not in wanted:
                self._label("--label-rm", NODE, name)

    def _label(self, *words: str) -> None:
        Docker(client=self._docker).change("node", "update", *words)

    def _nodes(self) -> list[str]:
        marked = ("node", "ls", "--filter", f"node.label={NODE}=yes", "--format", "{{.Hostname}}")
        return sorted(self._lines(*marked))

    def _asked(self) -> str:
        """The manager that answers."""
        return self._docker.run("node", "inspect", "self", "--format", "{{.Description.Hostname}}").strip()

    def _keep(self, kept: Kept) -> None:
        answer = self._docker.attempt(kept.kind, "create", "--label", f"{NODE}=yes", kept.name, "-", given=kept.content)
        if answer.code and "AlreadyExists" not in answer.err:
            raise self._docker.failure(f"{kept.kind} create", answer)

    def _forget(self, keep: Iterable[Kept]) -> None:
        """Removes the files of earlier installations. What a service still uses stays until the next time."""
        names = {each.name for each in keep}
        for kind in ("config", "secret"):
            for name in self._lines(kind, "ls", "--filter", f"label={NODE}=yes", "--format", "{{.Name}}"):
                if name not in names:
                    self._docker.attempt(kind, "rm", name)

    def _wait(self, nodes: Sequence[str], digest: str, earlier: set[str]) -> None:
        """Until both services run as they should, and go on doing so. `earlier`: tasks that were there before."""
        deadline_s = time.monotonic() + RUNNING_LIMIT_S
        since_s = 0.0
        while True:
            tasks = self._tasks()
            running = {task.node for task in tasks if task.service == TRAEFIK and task.runs}
            asks = any(task.service == API and task.runs for task in tasks)
            if self._settled(digest) and asks and running == set(nodes):
                since_s = since_s or time.monotonic()
                if time.monotonic() >= since_s + STEADY_S:
                    return
            else:
                since_s = 0.0
            failed = [task for task in self._tasks(ended=True) if task.failed and task.id not in earlier]
            if len(failed) >= MOST_FAILURES or time.monotonic() > deadline_s:
                raise self._not_there(nodes, failed)
            time.sleep(POLL_S)

    def _settled(self, digest: str) -> bool:
        """Whether no update of either service goes on. Raises EngineFailed if the engine has given one up.

        The state alone does not say so: that of an earlier rollback stays until the next change.
        """
        form = f'{{{{if .UpdateStatus}}}}{{{{.UpdateStatus.State}}}}{{{{end}}}} {{{{index .Spec.Labels "{DIGEST}"}}}}'
        asked = (f"{STACK}_{name}" for name in (TRAEFIK, API))
        answers = self._docker.run("service", "inspect", "--format", form, *asked).splitlines()
        states = [answer.partition(" ")[0] for answer in answers]
        if digest != answers[0].partition(" ")[2].strip():
            if states[0] in ("rollback_started", "updating"):
                return False
            raise EngineFailed("the new edge did not run, so the engine went back to the one before", self._hint())
        if "paused" in states:
            raise EngineFailed("the update of the edge was paused, because a copy failed", self._hint())
        return all(state in ("", "completed", "rollback_completed") for state in states)

    def _not_there(self, nodes: Sequence[str], failed: Sequence[Task]) -> EngineFailed:
        why = f"not all of {', '.join(nodes)} run it after {RUNNING_LIMIT_S:g} s"
        if failed:
            why = f"{failed[0].service} on {failed[0].node or 'any node'}: {failed[0].error}"
        return EngineFailed(f"the edge does not run: {why}", self._hint())

    def _hint(self) -> str:
        shown = self._docker.shown("service", "ps", "--no-trunc", f"{STACK}_{TRAEFIK}", f"{STACK}_{API}")
        return f"`{shown}` and `{self._docker.shown('service', 'logs', f'{STACK}_{TRAEFIK}')}` say more"

    def _tasks(self, *, ended: bool = False) -> list[Task]:
        """Those that should run, or all that are remembered. None without an edge."""
        only = () if ended else ("--filter", "desired-state=running", "--filter", "desired-state=ready")
        answer = self._docker.attempt("stack", "ps", "--no-trunc", *only, "--format", FORM, STACK)
        if answer.code:
            if "nothing found in stack" in answer.err.lower():
                return []
            raise self._docker.failure("stack ps", answer)
        return [task_of(line) for line in answer.out.splitlines()]

    def _image(self) -> str:
        form = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
        return self._docker.run("service", "inspect", "--format", form, f"{STACK}_{TRAEFIK}").strip()

    def _lines(self, *args: str) -> list[str]:
        return self._docker.run(*args).split()
