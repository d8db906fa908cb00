"""An app as objects of Kubernetes: what is applied, and what an export writes."""

import json
from collections.abc import Iterable

from slot_machine.engines.kubernetes import jobs, names, network, pod, storage, workloads
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.shape import App


def objects(app: App, *, native_sleep: bool = True) -> list[Json]:
    """All that runs a version, but for its Secret and the Job of its release command. The same for the same app.

    `native_sleep` is for servers from 1.30 on. What visitors reach comes first.
    """
    found: list[Json] = []
    if app.version.shared_dirs:
        found.append(storage.claim(app))
    found += [network.service(app), workloads.web(app, native_sleep=native_sleep), *network.leading(app)]
    if pod.settings(app).replicas > 1:
        found.append(workloads.budget(app))
    found += [workloads.worker(app, name, process) for name, process in sorted(app.version.workers.items())]
    found += [jobs.cron(app, name, job) for name, job in sorted(app.version.cron.items())]
    return found


def begins_later(item: Json) -> bool:
    """Whether it is a worker or a job: a version that does not become healthy never touches a queue."""
    if item["kind"] == "CronJob":
        return True
    return item["kind"] == "Deployment" and label(item, names.PROCESS) != names.WEB


def label(item: Json, name: str) -> str:
    metadata = item["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["labels"].get(name, ""))


def name_of(item: Json) -> str:
    metadata = item["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["name"])


def text(items: Iterable[Json]) -> str:
    """As kubectl takes them; also valid YAML."""
    whole = {"apiVersion": "v1", "items": list(items), "kind": "List"}
    return json.dumps(whole, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def parsed(manifest: str) -> list[Json]:
    found: list[Json] = json.loads(manifest)["items"]
    return found
