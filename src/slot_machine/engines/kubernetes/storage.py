"""What the app keeps in the cluster beside its processes: its variables, and the folders of its data."""

import base64

from slot_machine.engines.kubernetes import names, pod
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.shape import App, Values


def secret(app: App, values: Values | None) -> Json:
    """The variables. Its name has their digest, because it never changes. Without `values`, it has no data."""
    made: Json = {
        "apiVersion": "v1",
        "immutable": True,
        "kind": "Secret",
        "metadata": {
            "labels": names.common(app.name, names.ENV),
            "name": names.env_secret(app.name, app.env_digest),
        },
        "type": "Opaque",
    }
    if values:
        made["data"] = {name: _encoded(value) for name, value in sorted(values.variables.items())}
    return made


def claim(app: App) -> Json:
    """The volume of `shared_dirs`. Deploys never change or remove it."""
    engine = pod.settings(app)
    several = bool(engine.storage_class)
    spec: Json = {
        "accessModes": ["ReadWriteMany" if several else "ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{engine.storage_gb}Gi"}},
    }
    if several:
        spec["storageClassName"] = engine.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"labels": names.common(app.name, names.WEB), "name": names.volume_claim(app)},
        "spec": spec,
    }


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode(errors="surrogateescape")).decode()
