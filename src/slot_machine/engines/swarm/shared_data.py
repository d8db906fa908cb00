"""Whether folders that several copies are to share have a SQLite file: copies on several nodes would damage it."""

import secrets
from collections.abc import Iterator

import msgspec

from slot_machine.core.errors import Impossible
from slot_machine.engines.image.layout import SHARED
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import mapping, one_off, running, timing
from slot_machine.engines.swarm.docker import Docker
from slot_machine.engines.swarm.one_off import Job

LIMIT_S = 120.0
MARK = "SQLite format 3"
"""The first bytes of such a file (https://www.sqlite.org/fileformat.html)."""
LOOK = f"""find {SHARED} -type f -size +0 -exec sh -c '
    for file; do
        [ "$(head -c {len(MARK)} "$file" | tr -d "\\0")" = "{MARK}" ] && echo "database: $file"
    done
' sh {{}} +"""
FOUND = "database: "


def refuse_databases(docker: Docker, app: App) -> Iterator[str]:
    """Looks into the volume itself, by a job. Raises Impossible."""
    if timing.sharing(app) < 2:
        return
    without_secret = msgspec.structs.replace(app, env_digest="")
    job = Job("run", f"{app.name}-look-{secrets.token_hex(4)}", [LOOK], LIMIT_S)
    for line in running.lines(one_off.run(docker, without_secret, job)):
        if line.startswith(FOUND):
            raise _refusal(app, line.removeprefix(FOUND))
        yield line


def _refusal(app: App, file: str) -> Impossible:
    place = file.removeprefix(f"{SHARED}/")
    folder = next((name for name in app.version.shared_dirs if place.startswith(f"{name.strip('./')}/")), place)
    return mapping.forked(app, f"shared_dirs: {place!r} in {folder!r}")
