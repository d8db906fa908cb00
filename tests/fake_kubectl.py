"""A cluster in memory behind kubectl: objects, who manages their fields, and a controller of Deployments and Jobs.

Time passes when somebody sleeps; then the controller takes one step. How copies of a version do is said by its commit.
"""

import json
from collections.abc import Callable, Generator
from typing import NamedTuple, cast

from slot_machine.engines.client import Answer, Client
from slot_machine.engines.kubernetes import names
from slot_machine.engines.kubernetes.rollout import Clock

Json = dict[str, object]

PLURALS = {
    "configmap": "configmaps",
    "job": "jobs",
    "namespace": "namespaces",
    "Deployment": "deployments",
    "Service": "services",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "Job": "jobs",
    "CronJob": "cronjobs",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Ingress": "ingresses",
    "HTTPRoute": "httproutes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
}
GOOD: Json = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "ready": True}


class Call(NamedTuple):
    verb: str
    args: tuple[str, ...]
    given: str


def state(**kinds: object) -> Json:
    return {"state": kinds, "ready": False}


class FakeKubectl(Client):
    """`ways` says how containers of a commit do: GOOD if it is not there."""

    def __init__(self) -> None:
        super().__init__("kubectl")
        self.objects: dict[tuple[str, str], Json] = {}
        self.calls: list[Call] = []
        self.ways: dict[str, Json] = {}
        self.unschedulable: set[str] = set()
        self.faults: list[tuple[Callable[[Call], bool], Answer]] = []
        self.output: dict[str, list[str]] = {}
        self.events: list[Json] = []
        self.version = {"major": "1", "minor": "30+"}
        self.job_exit = 0
        self.exit_code = 0
        self.stuck = False
        self.pending = False
        """Whether pods of Jobs have not started."""

    # --- What the engine calls ---

    def attempt(self, *args: str, given: str = "", limit_s: float = 60.0) -> Answer:  # noqa: ARG002
        call = Call(args[0], args[1:], given)
        self.calls.append(call)
        for matches, answer in self.faults:
            if matches(call):
                return answer
        made: Answer = getattr(self, f"_{args[0].replace('-', '_')}")(list(args[1:]), given)
        return made

    def lines(
        self,
        *args: str,
        given: bytes = b"",  # noqa: ARG002
        limit_s: float = 0,  # noqa: ARG002
    ) -> Generator[str, None, int]:
        self.calls.append(Call(args[0], args[1:], ""))
        yield from self.output.get(args[1], [])
        return 0

    def through(self, *args: str) -> int:
        self.calls.append(Call(args[0], args[1:], ""))
        return self.exit_code

    # --- What tests ask and do ---

    def fail(self, verb: str, error: str, word: str = "") -> None:
        """All calls of that verb, with that word in their arguments or input, until `mend`."""
        answer = Answer(1, "", error)
        self.faults.append((lambda call: call.verb == verb and (word in call.args or word in call.given), answer))

    def mend(self) -> None:
        self.faults.clear()

    def named(self, resource: str) -> list[str]:
        return sorted(name for kind, name in self.objects if kind == resource)

    def get(self, resource: str, name: str) -> Json:
        return self.objects[resource, name]

    def at(self, resource: str, name: str, *path: str) -> object:
        found: object = self.objects[resource, name]
        for part in path:
            found = cast(Json, found)[part]
        return found

    def add(self, resource: str, item: Json) -> None:
        self.objects[resource, str(cast(Json, item["metadata"])["name"])] = item

    def scaled(self, deployment: str, replicas: int, manager: str = "kube-controller-manager") -> None:
        """Somebody else sets the number of copies."""
        found = self.get("deployments", deployment)
        cast(Json, found["spec"])["replicas"] = replicas
        _own(found, manager, "Update", {"replicas"})
        _disown(found, names.MANAGER, "replicas")

    # --- Verbs ---

    def _version(self, _args: list[str], _given: str) -> Answer:
        return _json({"serverVersion": self.version})

    def _get(self, args: list[str], _given: str) -> Answer:
        resource = PLURALS.get(args[0], args[0]).partition(".")[0]
        options = {"-l", "-o", "--field-selector"}
        values = {args[n]: args[n + 1] for n in range(1, len(args) - 1) if args[n] in options}
        given = [word for n, word in enumerate(args[1:], 1) if not word.startswith("-") and args[n - 1] not in options]
        if resource == "events":
            return _json({"items": list(self.events)})
        found = [item for (kind, _), item in sorted(self.objects.items()) if kind == resource]
        found = [item for item in found if _matches(item, values.get("-l", ""))]
        if given:
            found = [item for item in found if cast(Json, item["metadata"])["name"] == given[0]]
            if not found and "--ignore-not-found" not in args:
                return Answer(1, "", f'Error from server (NotFound): {resource} "{given[0]}" not found')
            return _json(found[0]) if found else Answer(0, "", "")
        if values.get("-o") == "name":
            return Answer(0, "".join(f"{resource}/{cast(Json, item['metadata'])['name']}\n" for item in found), "")
        return _json({"items": found})

    def _apply(self, args: list[str], given: str) -> Answer:
        for item in json.loads(given)["items"]:
            conflict = self._conflict(item)
            if conflict:
                return Answer(1, "", conflict)
            if "--dry-run=server" not in args:
                self._applied(item)
        return Answer(0, "", "")

    def _create(self, _args: list[str], given: str) -> Answer:
        item = json.loads(given)
        key = PLURALS[item["kind"]], item["metadata"]["name"]
        if key in self.objects:
            return Answer(1, "", f'Error from server (AlreadyExists): {key[0]} "{key[1]}" already exists')
        item["metadata"]["resourceVersion"] = "1"
        self.objects[key] = item
        return Answer(0, "", "")

    def _patch(self, args: list[str], given: str) -> Answer:
        found, patch = self.objects[PLURALS[args[0]], args[1]], json.loads(given)["metadata"]
        metadata = cast(Json, found["metadata"])
        if patch["resourceVersion"] != metadata["resourceVersion"]:
            return Answer(1, "", "Error from server (Conflict): the object has been modified")
        metadata["annotations"] = cast(Json, metadata.get("annotations", {})) | patch["annotations"]
        metadata["resourceVersion"] = str(int(str(metadata["resourceVersion"])) + 1)
        return Answer(0, "", "")

    def _delete(self, args: list[str], _given: str) -> Answer:
        resource = PLURALS.get(args[0], args[0]).partition(".")[0]
        for name in args[1:]:
            gone = self.objects.pop((resource, name), None)
            if gone and resource == "deployments":
                self._drop_pods(str(_labels(gone)[names.PROCESS]))
        return Answer(0, "", "")

    def _logs(self, args: list[str], _given: str) -> Answer:
        key = f"{args[0]} previous" if "--previous" in args else args[0]
        return Answer(0, "".join(f"{line}\n" for line in self.output.get(key, [])), "")

    def _auth(self, _args: list[str], _given: str) -> Answer:
        return Answer(0, "yes\n", "")

    def _config(self, _args: list[str], _given: str) -> Answer:
        return Answer(0, "production\n", "")

    # --- The server ---

    def _applied(self, item: Json) -> None:
        metadata = cast(Json, item["metadata"])
        key = PLURALS[str(item["kind"])], str(metadata["name"])
        spec = dict(cast(Json, item.get("spec", {})))
        before = self.objects.get(key)
        if before:
            old = cast(Json, before.get("spec", {}))
            old_metadata = cast(Json, before["metadata"])
            if item["kind"] == "Deployment" and "replicas" not in spec:
                spec["replicas"] = old["replicas"] if _owners(before, "replicas") - {names.MANAGER} else 1
            changed = spec != old
            metadata = {**old_metadata, "annotations": {}, **metadata}
            metadata["generation"] = int(str(old_metadata.get("generation", 1))) + changed
        else:
            metadata = metadata | {"generation": 1}
        made = (before or {}) | item | {"metadata": metadata, "spec": spec}
        self.objects[key] = made
        _disown(made, names.MANAGER, "")
        _own(made, names.MANAGER, "Apply", set(cast(Json, item.get("spec", {}))))

    def _conflict(self, item: Json) -> str:
        found = self.objects.get((PLURALS[str(item["kind"])], str(cast(Json, item["metadata"])["name"])))
        if not found:
            return ""
        for field, value in cast(Json, item.get("spec", {})).items():
            others = _owners(found, field) - {names.MANAGER}
            if others and cast(Json, found["spec"])[field] != value:
                using = f"using {item['apiVersion']}: .spec.{field}"
                return f'error: Apply failed with 1 conflict: conflict with "{others.pop()}" {using}\nPlease review'
        return ""

    # --- The controllers ---

    def step(self) -> None:
        for (kind, _), item in list(self.objects.items()):
            if kind == "deployments" and not self.stuck:
                self._roll(item)
            elif kind == "jobs":
                self._work(item)

    def _roll(self, item: Json) -> None:
        """One copy at a time: a new one, and if it is healthy, an old one less."""
        metadata, spec = cast(Json, item["metadata"]), cast(Json, item["spec"])
        template = cast(Json, spec["template"])
        labels = cast(Json, cast(Json, template["metadata"])["labels"])
        process, release = str(labels[names.PROCESS]), str(labels[names.RELEASE])
        wanted = int(str(spec["replicas"]))
        mine = self._pods(lambda has: has[names.PROCESS] == process)
        new = [pod for pod in mine if _labels(pod)[names.RELEASE] == release]
        old = [pod for pod in mine if pod not in new]
        if len(new) < wanted and all(map(_ready, new)):
            new.append(self._pod(str(metadata["name"]), labels, len(new) + 1))
        elif old and len([pod for pod in new if _ready(pod)]) + len(old) > wanted:
            self.objects.pop(("pods", str(cast(Json, old[0]["metadata"])["name"])))
            old = old[1:]
        elif len(new) > wanted:
            self.objects.pop(("pods", str(cast(Json, new[-1]["metadata"])["name"])))
            new = new[:-1]
        ready = len([pod for pod in new if _ready(pod)])
        before = cast(list[Json], cast(Json, item.get("status", {})).get("conditions", []))
        item["status"] = {
            "observedGeneration": metadata["generation"],
            "replicas": len(new) + len(old),
            "updatedReplicas": len(new),
            "readyReplicas": ready + len(old),
            "availableReplicas": ready + len(old),
            "conditions": before,
        }
        self._set(template, f"{metadata['name']}-{release}", ready)
        for pod in old:
            self._set(template, f"{metadata['name']}-{_labels(pod)[names.RELEASE]}", len(old), _labels(pod))

    def _set(self, template: Json, name: str, ready: int, labels: Json | None = None) -> None:
        known = self.objects.get(("replicasets", name))
        metadata: Json = {"name": name, "labels": labels or cast(Json, template["metadata"])["labels"]}
        made = template | {"metadata": {"creationTimestamp": None, **cast(Json, template["metadata"])}}
        spec = known["spec"] if known else {"template": made}
        self.objects["replicasets", name] = {"metadata": metadata, "spec": spec, "status": {"readyReplicas": ready}}

    def _pod(self, owner: str, labels: Json, number: int) -> Json:
        commit, name = str(labels[names.COMMIT]), f"{owner}-{labels[names.RELEASE]}-{number}"
        way = self.ways.get(commit, GOOD)
        status: Json = {"phase": "Running", "containerStatuses": [{"name": "app", **way}]}
        conditions: list[Json] = [{"type": "Ready", "status": "True" if way.get("ready") else "False"}]
        if commit in self.unschedulable:
            said = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}
            conditions = [{"type": "PodScheduled", "status": "False", **said}]
            status = {"phase": "Pending"}
        pod: Json = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": "node-1"},
            "status": status | {"conditions": conditions},
        }
        self.objects["pods", name] = pod
        return pod

    def _work(self, item: Json) -> None:
        """A Job runs for one step."""
        metadata, spec = cast(Json, item["metadata"]), cast(Json, item["spec"])
        name, labels = str(metadata["name"]), cast(Json, metadata["labels"])
        pod = self.objects.get(("pods", f"{name}-x1"))
        if not pod:
            template = cast(Json, cast(Json, spec["template"])["metadata"])
            made = self._pod(name, cast(Json, template["labels"]) | {"job-name": name}, 1)
            self.objects.pop(("pods", str(cast(Json, made["metadata"])["name"])))
            cast(Json, made["metadata"])["name"] = f"{name}-x1"
            self.objects["pods", f"{name}-x1"] = made
            if self.pending:
                cast(Json, made["status"])["phase"] = "Pending"
        elif labels[names.PROCESS] == names.RELEASING and cast(Json, pod["status"])["phase"] == "Running":
            ended = {"exitCode": self.job_exit, "reason": "Completed"}
            phase = "Failed" if self.job_exit else "Succeeded"
            pod["status"] = {"phase": phase, "containerStatuses": [{"name": "app", "state": {"terminated": ended}}]}
            kind = "Failed" if self.job_exit else "Complete"
            item["status"] = {"conditions": [{"type": kind, "status": "True"}]}

    def _pods(self, chosen: Callable[[Json], bool]) -> list[Json]:
        return [item for (kind, _), item in sorted(self.objects.items()) if kind == "pods" and chosen(_labels(item))]

    def _drop_pods(self, process: str) -> None:
        for pod in self._pods(lambda labels: labels[names.PROCESS] == process):
            self.objects.pop(("pods", str(cast(Json, pod["metadata"])["name"])))


class FakeClock(Clock):
    """A second passes at each look; the cluster goes on."""

    def __init__(self, kubectl: FakeKubectl) -> None:
        self._kubectl = kubectl
        self._now_s = 0.0
        self.stride = 1
        """Seconds that pass in one."""
        self.at: dict[int, Callable[[], None]] = {}
        """What happens at which second."""

    def now_s(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds * self.stride
        if happens := self.at.pop(int(self._now_s), None):
            happens()
        self._kubectl.step()


def _json(value: object) -> Answer:
    return Answer(0, json.dumps(value), "")


def _labels(item: Json) -> Json:
    return cast(Json, cast(Json, item["metadata"]).get("labels", {}))


def _matches(item: Json, selector: str) -> bool:
    labels = _labels(item)
    for part in filter(None, selector.split(",")):
        name, is_not, value = part.partition("!=")
        if is_not:
            if labels.get(name) == value:
                return False
            continue
        name, _, value = part.partition("=")
        if labels.get(name) != value:
            return False
    return True


def _ready(pod: Json) -> bool:
    conditions = cast(list[Json], cast(Json, pod["status"]).get("conditions", []))
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def _managed(item: Json) -> list[Json]:
    return cast(list[Json], cast(Json, item["metadata"]).setdefault("managedFields", []))


def _own(item: Json, manager: str, operation: str, fields: set[str]) -> None:
    spec: Json = {f"f:{field}": {} for field in sorted(fields)}
    _managed(item).append({"manager": manager, "operation": operation, "fieldsV1": {"f:spec": spec}})


def _disown(item: Json, manager: str, field: str) -> None:
    """One field, or all."""
    for entry in list(_managed(item)):
        if entry["manager"] == manager:
            fields = cast(Json, cast(Json, entry["fieldsV1"])["f:spec"])
            fields.pop(f"f:{field}", None)
            if not field or not fields:
                _managed(item).remove(entry)


def _owners(item: Json, field: str) -> set[str]:
    return {
        str(entry["manager"])
        for entry in _managed(item)
        if f"f:{field}" in cast(Json, cast(Json, entry["fieldsV1"])["f:spec"])
    }
