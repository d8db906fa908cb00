"""Releases as ConfigMaps: the history, what a rollback applies, and the lock between two deploys.

The data never changes. A release's end is an annotation.
"""

from collections.abc import Sequence

import msgspec

from slot_machine.core.errors import Busy, EngineFailed
from slot_machine.engines.kubernetes import names, seen
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.release import Ended, Release, read

FIELD = "release.json"
IS_RECORD = f"{names.PROCESS}={names.RECORD}"


class Records:
    """All calls raise EngineFailed."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name

    def all(self) -> list[Release]:
        """The latest first."""
        found = self._cluster.listed("configmaps", seen.ConfigMap, f"{self._cluster.selector},{IS_RECORD}")
        return sorted(map(_release, found), key=lambda release: -release.number)

    def begin(self, release: Release) -> None:
        """Raises Busy if somebody else has begun one with that number."""
        if not self._cluster.create(self._item(release)):
            raise Busy(
                f"somebody else has begun release {release.number} of {self._name}",
                "wait for its end; `slot-machine history` shows it",
            )

    def end(self, release: Release, ended: Ended) -> None:
        """Raises Busy if it has ended already, also while we look."""
        name = names.record(self._name, release.number)
        found = self._cluster.one("configmap", name, seen.ConfigMap)
        if not found:
            raise EngineFailed(f"the ConfigMap {name} is gone")
        text = msgspec.json.encode(ended).decode()
        if names.ENDED in found.metadata.annotations or not self._cluster.annotate(
            "configmap", found, names.ENDED, text
        ):
            raise Busy(
                f"release {release.number} of {self._name} has ended already", "`slot-machine history` shows how"
            )

    def forget(self, releases: Sequence[Release]) -> None:
        self._cluster.remove("configmaps", [names.record(self._name, release.number) for release in releases])

    def _item(self, release: Release) -> Json:
        labels = names.common(self._name, names.RECORD)
        labels |= {names.RELEASE: str(release.number), names.COMMIT: release.commit}
        return {
            "apiVersion": "v1",
            "data": {FIELD: msgspec.json.encode(msgspec.structs.replace(release, ended=None)).decode()},
            "immutable": True,
            "kind": "ConfigMap",
            "metadata": {"labels": labels, "name": names.record(self._name, release.number)},
        }


def _release(found: seen.ConfigMap) -> Release:
    remove = f"kubectl delete configmap {found.name}"
    release = read(found.data.get(FIELD, ""), Release, found.name, remove)
    ended = found.metadata.annotations.get(names.ENDED)
    return msgspec.structs.replace(release, ended=read(ended, Ended, found.name, remove) if ended else None)
