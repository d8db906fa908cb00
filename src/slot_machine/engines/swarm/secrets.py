"""The variables of `env_file` as secrets of Docker. Their names have the digest of the content, which never changes."""

from collections.abc import Collection

from slot_machine.core.errors import EngineFailed
from slot_machine.engines.image import variables
from slot_machine.engines.shape import Values
from slot_machine.engines.swarm import names
from slot_machine.engines.swarm.docker import Docker

KIND = "secret"
MAX_BYTES = 500_000
"""Of the engine."""


class Secrets:
    """All calls raise EngineFailed, which names no value."""

    def __init__(self, docker: Docker, app: str) -> None:
        self._docker = docker
        self._app = app

    def keep(self, values: Values) -> None:
        if not values.digest:
            return
        content = variables.written(values.variables)
        if len(content) > MAX_BYTES:
            raise EngineFailed(
                f"env_file has {len(content):,} bytes, and a secret of Docker {MAX_BYTES:,} at most",
                "put what is large into files of the repository, or into shared_dirs",
            )
        labels = names.secret_labels(self._app, values.digest)
        self._docker.keep(KIND, names.secret(self._app, values.digest), labels, content)

    def remove_others(self, needed: Collection[str]) -> None:
        """All but those with these digests: a key that was rotated must not stay readable."""
        self._docker.drop(KIND, [secret for secret, digest in self._kept() if digest not in needed])

    def _kept(self) -> list[tuple[str, str]]:
        found = [
            (secret.id, (secret.spec.labels or {}).get(names.ENV, "")) for secret in self._docker.secrets(self._app)
        ]
        return [pair for pair in found if pair[1]]
