"""A swarm in memory, behind the client that asks it: what `docker` prints, and what the engine does with each tick."""

import base64
import itertools
import json
import subprocess
from collections.abc import Callable, Generator, Iterator
from typing import cast

from slot_machine.engines.client import Answer, Client
from slot_machine.engines.swarm.deploying import Deploying
from slot_machine.engines.swarm.docker import Docker
from slot_machine.engines.swarm.stack_file import Json, parsed

LATEST_HELP = "--detach  Exit immediately"
ENDS = {"exit": ("failed", "task: non-zero exit (3)", 3), "health": ("failed", "task: unhealthy container", 137)}
ENDS |= {"image": ("rejected", "No such image: shop:x", 0), "term": ("complete", "", 0)}
BOOM = "boom: no database"


def dig(tree: object, *path: str) -> object:
    for key in path:
        tree = cast(Json, tree).get(key) if tree else None
    return tree


class FakeSwarm:
    """`bad` says by release how its tasks end: a key of ENDS, or `pending`. `calls` are all that was asked.

    Attributes:
        faults: words of a call, and what is raised or answered in its place
        on_calls: words of a call, and what happens right before its answer
        miscounts: whether an update leaves a task too many, until the count is set anew
        job: state and exit code of the next jobs
        said: the output of tasks
    """

    def __init__(self) -> None:
        self.client = FakeClient(self)
        self.docker = Docker(client=self.client)
        self.services: dict[str, Json] = {}
        self.tasks: list[Json] = []
        self.nodes = [self._node("n1", "node1", "manager"), self._node("n2", "node2", "worker")]
        self.stores: dict[str, dict[str, Json]] = {"config": {}, "secret": {}}
        self.networks = ["ingress"]
        self.bad: dict[int, str] = {}
        self.pauses = self.miscounts = False
        self.said = BOOM
        self.job: tuple[str, int] = ("complete", 0)
        self.calls: list[tuple[str, ...]] = []
        self.faults: dict[str, Answer | BaseException] = {}
        self.on_calls: dict[str, Callable[[], None]] = {}
        self.now_s = 0.0
        self.on_tick: Callable[[], None] = lambda: None
        self._ids = itertools.count(1)
        self.deploying = Deploying(self.docker, self.pause, lambda: self.now_s)

    def _node(self, node_id: str, name: str, role: str) -> Json:
        described = {"Hostname": name, "Platform": {"Architecture": "x86_64", "OS": "linux"}}
        described["Engine"] = {"EngineVersion": "20.10.24"}
        spec = {"Labels": {}, "Role": role, "Availability": "active"}
        return {"ID": node_id, "Spec": spec, "Description": described, "Status": {"State": "ready", "Addr": "10.0.0.1"}}

    # --- what the engine does ---

    def pause(self, seconds: float) -> None:
        self.now_s += seconds
        self.on_tick()
        for service in list(self.services.values()):
            self._tick(service)

    def settle(self) -> None:
        for _ in range(50):
            self.pause(1)

    def running(self, service: str) -> list[str]:
        """The releases of its running tasks."""
        return [self.release(task["Spec"]) for task in self._of(service) if self._runs(task)]

    def release(self, task_spec: object) -> str:
        return cast(str, dig(task_spec, "ContainerSpec", "Labels", "slot-machine.release"))

    def _of(self, service: str) -> list[Json]:
        found = self.services.get(service)
        return [task for task in self.tasks if found and task["ServiceID"] == found["ID"]]

    def _runs(self, task: Json) -> bool:
        return task["DesiredState"] == "running" and dig(task, "Status", "State") == "running"

    def _tick(self, service: Json) -> None:
        """One copy is replaced, started or ended."""
        name = cast(str, dig(service, "Spec", "Name"))
        if not dig(service, "Spec", "Mode", "Replicated"):
            return
        count = cast(int, dig(service, "Spec", "Mode", "Replicated", "Replicas"))
        release = self.release(dig(service, "Spec", "TaskTemplate"))
        tasks = [task for task in self._of(name) if task["DesiredState"] == "running"]
        new = [task for task in tasks if self.release(task["Spec"]) == release]
        old = [task for task in tasks if task not in new]
        state = cast(str, dig(service, "UpdateStatus", "State") or "")
        if state.endswith("paused"):
            return
        if len(new) < count:
            self._start(service, int(release), old)
        elif old or len(new) > count:
            if not self.miscounts:
                self._end(old[0] if old else new[-1])
        elif state in ("updating", "rollback_started"):
            self._become(service, "completed" if state == "updating" else "rollback_completed")
        if self.miscounts and state == "updating" and len(new) >= count:
            self._become(service, "completed")

    def _start(self, service: Json, release: int, old: list[Json]) -> None:
        how = self.bad.get(release, "")
        slots = {
            cast(int, task["Slot"]) for task in self._of(cast(str, dig(service, "Spec", "Name"))) if self._runs(task)
        }
        slot = cast(int, old[0]["Slot"]) if old else next(slot for slot in itertools.count(1) if slot not in slots)
        task = self._task(service, slot)
        if how == "pending":
            task["Status"] = {"State": "pending", "Err": "no suitable node (insufficient resources on 2 nodes)"}
            if any(dig(one, "Status", "State") == "pending" for one in self.tasks):
                return
        elif how:
            state, error, code = ENDS[how]
            status = {"State": state, "Err": error, "ContainerStatus": {"ExitCode": code}, "Timestamp": self._time()}
            task |= {"Status": status, "DesiredState": "shutdown"}
            if dig(service, "UpdateStatus", "State") == "updating":
                self._take_back(service)
        elif old and not self.miscounts:
            self._end(old[0])
        self.tasks.append(task)

    def _take_back(self, service: Json) -> None:
        if self.pauses:
            self._become(service, "paused")
            return
        service |= {"Spec": service["PreviousSpec"], "PreviousSpec": None}
        self._become(service, "rollback_started")

    def _task(self, service: Json, slot: int) -> Json:
        number = next(self._ids)
        container = {"ContainerID": f"container{number}", "ExitCode": 0}
        return {
            "ID": f"task{number:021}",
            "CreatedAt": self._time(),
            "ServiceID": service["ID"],
            "NodeID": f"n{number % 2 + 1}",
            "Slot": slot,
            "Spec": dig(service, "Spec", "TaskTemplate"),
            "Status": {"State": "running", "Timestamp": self._time(), "ContainerStatus": container},
            "DesiredState": "running",
        }

    def _end(self, task: Json) -> None:
        task |= {"DesiredState": "shutdown", "Status": {"State": "shutdown", "Timestamp": self._time()}}

    def _become(self, service: Json, state: str) -> None:
        service["UpdateStatus"] = {"State": state, "Message": f"update {state}"}

    def _time(self) -> str:
        return f"2026-01-01T00:{int(self.now_s) // 60:02}:{self.now_s % 60:06.3f}Z"

    # --- what it is told ---

    def answered(self, args: tuple[str, ...], given: str) -> str:
        """Raises LookupError for what is not there, ValueError for a name that is taken."""
        kind, verb, *rest = args
        if kind in self.stores:
            return self._store(kind, verb, rest, given)
        handler = getattr(self, f"_{kind}_{verb}".replace("--", ""), None)
        assert handler, f"the swarm in memory does not know `docker {' '.join(args)}`"
        return cast(str, handler(rest, given))

    def _store(self, kind: str, verb: str, rest: list[str], given: str) -> str:
        kept = self.stores[kind]
        if verb == "ls":
            return "\n".join(cast(str, one["ID"]) for one in kept.values())
        if verb == "inspect":
            return json.dumps([one for one in kept.values() if one["ID"] in rest])
        if verb == "rm":
            for name in rest:
                found = [one for one in kept if name in (one, kept[one]["ID"])]
                if not found:
                    raise LookupError(f"{kind} {name}")
                del kept[found[0]]
            return ""
        name = rest[-2]
        if name in kept:
            raise ValueError(name)
        spec = {"Name": name, "Labels": dict(pairs(rest, "--label"))}
        if kind == "config":
            spec["Data"] = base64.b64encode(given.encode()).decode()
        kept[name] = {"ID": f"{kind}{next(self._ids)}", "Spec": spec, "given": given}
        return ""

    def _stack_deploy(self, rest: list[str], given: str) -> str:
        if "--help" in rest:
            return LATEST_HELP
        for process, wanted in cast(dict[str, Json], parsed(given)["services"]).items():
            container = {"Image": wanted["image"], "Labels": wanted["labels"]}
            spec = {
                "Name": f"{rest[-1]}_{process}",
                "Labels": dig(wanted, "deploy", "labels"),
                "TaskTemplate": {"ContainerSpec": container},
                "Mode": {"Replicated": {"Replicas": dig(wanted, "deploy", "replicas")}},
            }
            self._update(cast(str, spec["Name"]), spec)
        return ""

    def _update(self, name: str, spec: Json) -> None:
        before = self.services.get(name)
        if not before:
            self.services[name] = {"ID": f"service{next(self._ids)}", "Spec": spec, "PreviousSpec": None}
            return
        changed = dig(before, "Spec", "TaskTemplate") != spec["TaskTemplate"]
        before |= {"PreviousSpec": before["Spec"], "Spec": spec, "UpdateStatus": None}
        if changed and self._of(name):
            self._become(before, "updating")

    def _service_ls(self, rest: list[str], _: str) -> str:
        wanted = dict(word.removeprefix("label=").split("=") for word in rest if word.startswith("label="))
        found = [
            one for one in self.services.values() if wanted.items() <= cast(Json, dig(one, "Spec", "Labels")).items()
        ]
        return "\n".join(cast(str, one["ID"]) for one in found)

    def _service_inspect(self, rest: list[str], _: str) -> str:
        return json.dumps([one for one in self.services.values() if one["ID"] in rest])

    def _service_ps(self, rest: list[str], _: str) -> str:
        return "\n".join(cast(str, task["ID"]) for task in self.tasks if task["ServiceID"] in rest)

    def _inspect_type(self, rest: list[str], _: str) -> str:
        return json.dumps([task for task in self.tasks if task["ID"] in rest])

    def _service_rm(self, rest: list[str], _: str) -> str:
        for given in rest:
            names = [name for name, one in self.services.items() if given in (name, one["ID"])]
            if not names:
                raise LookupError(f"service {given}")
            for task in self._of(names[0]):
                self.tasks.remove(task)
            del self.services[names[0]]
        return ""

    def _service_scale(self, rest: list[str], _: str) -> str:
        self.miscounts = False
        for word in rest:
            if "=" in word:
                name, _, count = word.partition("=")
                cast(Json, dig(self.services[name], "Spec", "Mode", "Replicated"))["Replicas"] = int(count)
                if count == "0":
                    for task in self._of(name):
                        self._end(task)
        return ""

    def _service_update(self, rest: list[str], _: str) -> str:
        service = self.services[rest[-1]]
        labels = dict(cast(dict[str, str], dig(service, "Spec", "Labels")))
        labels |= dict(pairs(rest, "--label-add"))
        for gone in [rest[at + 1] for at, word in enumerate(rest) if word == "--label-rm"]:
            labels.pop(gone, None)
        service["PreviousSpec"] = service["Spec"]
        service["Spec"] = cast(Json, service["Spec"]) | {"Labels": labels}
        return ""

    def _service_create(self, rest: list[str], _: str) -> str:
        name = rest[rest.index("--name") + 1]
        container = {"Image": "", "Labels": dict(pairs(rest, "--container-label"))}
        spec: Json = {"Name": name, "Labels": dict(pairs(rest, "--label"))}
        spec |= {"TaskTemplate": {"ContainerSpec": container}, "Mode": {"ReplicatedJob": {}}}
        self.services[name] = {"ID": f"service{next(self._ids)}", "Spec": spec, "argv": rest}
        task = self._task(self.services[name], 1)
        state, code = self.job
        task["Status"] = {"State": state, "Timestamp": self._time(), "ContainerStatus": {"ExitCode": code}}
        self.tasks.append(task)
        return ""

    def _service_logs(self, _rest: list[str], _: str) -> str:
        return self.said

    def _node_ls(self, _rest: list[str], _: str) -> str:
        return "\n".join(cast(str, node["ID"]) for node in self.nodes)

    def _node_inspect(self, rest: list[str], _: str) -> str:
        return json.dumps([node for node in self.nodes if node["ID"] in rest])

    def _node_update(self, rest: list[str], _: str) -> str:
        node = next(node for node in self.nodes if node["ID"] == rest[-1])
        labels = cast(dict[str, str], dig(node, "Spec", "Labels"))
        labels |= dict(pairs(rest, "--label-add"))
        for gone in [rest[at + 1] for at, word in enumerate(rest) if word == "--label-rm"]:
            labels.pop(gone, None)
        return ""

    def _image_inspect(self, _rest: list[str], _: str) -> str:
        return "sha256:1"

    def _network_ls(self, _rest: list[str], _: str) -> str:
        return "\n".join(self.networks)

    def _network_create(self, rest: list[str], _: str) -> str:
        self.networks.append(rest[-1])
        return ""


class FakeClient(Client):
    def __init__(self, swarm: FakeSwarm) -> None:
        super().__init__("docker")
        self._swarm = swarm

    def attempt(self, *args: str, given: str = "", limit_s: float = 0) -> Answer:  # noqa: ARG002
        self._swarm.calls.append(args)
        for words, act in self._swarm.on_calls.items():
            if words in " ".join(args):
                act()
        for words, fault in self._swarm.faults.items():
            if words in " ".join(args):
                if isinstance(fault, BaseException):
                    raise fault
                return fault
        try:
            return Answer(0, self._swarm.answered(args, given), "")
        except LookupError as error:
            return Answer(1, "[]", f"Error: No such {error.args[0]}")
        except ValueError as error:
            return Answer(1, "", f"rpc error: code = AlreadyExists desc = {error} already exists")

    def lines(self, *args: str, given: bytes = b"", limit_s: float = 0) -> Generator[str, None, int]:  # noqa: ARG002
        if args[0] != "push":
            yield from self.run(*args).splitlines()
        return 0

    def through(self, *args: str) -> int:
        self._swarm.calls.append(args)
        return 9

    def piped(self, *args: str) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        return subprocess.Popen(["printf", "%s\\n", self.run(*args)], stdout=pipe, stderr=pipe)


def pairs(words: list[str], option: str) -> Iterator[tuple[str, str]]:
    for at, word in enumerate(words):
        if word == option:
            name, _, value = words[at + 1].partition("=")
            yield name, value
