"""kubectl in one context and namespace: reads, applies and removes objects."""

import json
import re
from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.client import Answer, Client
from slot_machine.engines.kubernetes import manifests, names, seen
from slot_machine.engines.kubernetes.pod import Json

S = TypeVar("S")

APPLY_S = 120.0
CONFLICT = re.compile(r"conflicts? with \"([^\"]+)\"")
FIELD = re.compile(r"(?:^- |: )(\.\S+)$", re.MULTILINE)
REPLICAS = ".spec.replicas"


class Conflict(EngineFailed):
    """Somebody else manages fields that we apply."""

    def __init__(self, managers: Sequence[str], fields: Sequence[str]) -> None:
        self.fields = fields
        super().__init__(
            f"{' and '.join(managers)} changed {', '.join(fields)}, which slot-machine.json decides on",
            "take that change back, or give the fields to slot-machine: docs/engines.md says how",
        )


class Cluster:
    """All calls raise EngineFailed."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self._name = name

    @property
    def selector(self) -> str:
        return f"{names.APP}={self._name}"

    def listed(self, resource: str, kind: type[S], selector: str = "", *options: str) -> list[S]:
        """Those of the app, unless another selector is given."""
        found = self.client.ask("get", resource, "-l", selector or self.selector, "-o", "json", *options)
        return [seen.read(item, kind) for item in seen.read(found, seen.Items).items]

    def everyone(self, resource: str, kind: type[S], *options: str) -> list[S]:
        """Also those of others."""
        found = self.client.ask("get", resource, "-o", "json", *options)
        return [seen.read(item, kind) for item in seen.read(found, seen.Items).items]

    def one(self, resource: str, name: str, kind: type[S]) -> S | None:
        found = self.client.ask("get", resource, name, "-o", "json", "--ignore-not-found")
        return seen.read(found, kind) if found else None

    def apply(self, items: Iterable[Json], *, dry_run: bool = False) -> None:
        """With `dry_run`, the server says what it would refuse. Raises Conflict."""
        options = ["--dry-run=server"] if dry_run else []
        manager = f"--field-manager={names.MANAGER}"
        answer = self.client.attempt(
            "apply", "--server-side", manager, *options, "-f", "-", given=manifests.text(items), limit_s=APPLY_S
        )
        if answer.code:
            raise _conflict(answer) or self.client.failure("apply", answer)

    def create(self, item: Json) -> bool:
        """Whether there was none of that name."""
        answer = self.client.attempt("create", "-f", "-", given=json.dumps(item))
        if answer.code and "AlreadyExists" not in answer.err:
            raise self.client.failure("create", answer)
        return not answer.code

    def annotate(self, resource: str, found: seen.ConfigMap, annotation: str, value: str) -> bool:
        """Whether it is still as it was found."""
        metadata = {"annotations": {annotation: value}, "resourceVersion": found.metadata.resource_version}
        patch = json.dumps({"metadata": metadata})
        answer = self.client.attempt(
            "patch", resource, found.name, "--type=merge", "--patch-file=/dev/stdin", given=patch
        )
        if answer.code and "the object has been modified" not in answer.err:
            raise self.client.failure("patch", answer)
        return not answer.code

    def remove(self, resource: str, found: Iterable[str]) -> None:
        """Does not wait until they are gone. Those that are gone already are no error."""
        if found := list(found):
            self.client.run("delete", resource, *found, "--ignore-not-found", "--wait=false", limit_s=APPLY_S)

    def last_lines(self, pod: str, *, previous: bool, lines: int) -> tuple[str, ...]:
        """Of its output; empty if there is none."""
        options = ["--previous"] if previous else []
        answer = self.client.attempt("logs", pod, "-c", "app", f"--tail={lines}", *options)
        return () if answer.code else tuple(answer.out.splitlines())

    def output(self, pod: str) -> Generator[str, None, int]:
        """While it runs."""
        return self.client.lines("logs", pod, "-c", "app", "--follow")


def _conflict(answer: Answer) -> Conflict | None:
    managers = CONFLICT.findall(answer.err)
    if not managers:
        return None
    return Conflict(list(dict.fromkeys(managers)), list(dict.fromkeys(FIELD.findall(answer.err))))
