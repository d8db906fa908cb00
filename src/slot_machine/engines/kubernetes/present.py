"""What of a manifest is applied, given what is in the cluster: others decide on some of its fields.

An autoscaler or a person may have set the number of copies; a maintenance goes on; a volume never shrinks.
"""

from typing import cast

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.kubernetes import manifests, names, seen
from slot_machine.engines.kubernetes.cluster import Cluster
from slot_machine.engines.kubernetes.pod import Json

OFF = "off"
"""The value of a label that no pod has."""


class Present:
    """As the cluster is at the time that this is made. Raises EngineFailed."""

    def __init__(self, cluster: Cluster) -> None:
        deployments = cluster.listed("deployments", seen.Deployment, "", "--show-managed-fields")
        self._deployments = {found.name: found for found in deployments}
        self._scaled = _scaled(cluster)
        self._claims = {claim.name: claim for claim in cluster.listed("persistentvolumeclaims", seen.Claim)}
        self.maintenance = any(map(is_maintained, cluster.listed("services", seen.Service)))

    def applied(self, items: list[Json]) -> list[Json]:
        return [made for item in items if (made := self._one(item))]

    def _one(self, item: Json) -> Json | None:
        name = manifests.name_of(item)
        if item["kind"] == "Deployment" and (found := self._deployments.get(name)):
            return self._with_replicas(item, found)
        if item["kind"] == "Service":
            return maintained(item) if self.maintenance else item
        if item["kind"] == "PersistentVolumeClaim" and (claim := self._claims.get(name)):
            return item if _grows(item, claim) else None
        return item

    def _with_replicas(self, item: Json, found: seen.Deployment) -> Json:
        """Leaves the number to an autoscaler, or to whoever has set it.

        A field that we have applied would fall back to 1 if it were left out. So it is applied as it is now, until the
        other one has changed it.
        """
        others, ours = _managers(found)
        if not others and found.name not in self._scaled:
            return item
        spec = cast(Json, item["spec"])
        left = {field: value for field, value in spec.items() if field != "replicas"}
        return item | {"spec": left | ({"replicas": found.spec.replicas} if ours else {})}


def maintained(item: Json) -> Json:
    """The Service without any copy: who leads visitors to it answers with 503."""
    spec, metadata = cast(Json, item["spec"]), cast(Json, item["metadata"])
    selector = cast(Json, spec["selector"]) | {names.MAINTENANCE: OFF}
    return item | {
        "metadata": metadata | {"annotations": {names.MAINTENANCE: "on"}},
        "spec": spec | {"selector": selector},
    }


def is_maintained(service: seen.Service) -> bool:
    return names.MAINTENANCE in service.spec.selector


def _managers(found: seen.Deployment) -> tuple[bool, bool]:
    """Whether others have set the number of copies, and whether we have."""
    others = ours = False
    for managed in found.metadata.managed_fields:
        spec = managed.fields.get("f:spec")
        if isinstance(spec, dict) and "f:replicas" in spec:
            is_ours = managed.manager == names.MANAGER and managed.operation == "Apply"
            others, ours = others or not is_ours, ours or is_ours
    return others, ours


def _scaled(cluster: Cluster) -> set[str]:
    """Deployments that an autoscaler has. Empty if we may not ask: then it is seen by what it has changed."""
    try:
        scalers = cluster.everyone("horizontalpodautoscalers", seen.Scaler)
    except EngineFailed:
        return set()
    targets = (scaler.spec.scale_target_ref for scaler in scalers)
    return {target.name for target in targets if target.kind == "Deployment"}


def _grows(item: Json, claim: seen.Claim) -> bool:
    wanted = cast(dict[str, dict[str, dict[str, str]]], item["spec"])["resources"]["requests"]["storage"]
    has = claim.spec.resources.requests.get("storage", "")
    return wanted.endswith("Gi") and has.endswith("Gi") and _gib(wanted) > _gib(has)


def _gib(size: str) -> float:
    return float(size.removesuffix("Gi"))
