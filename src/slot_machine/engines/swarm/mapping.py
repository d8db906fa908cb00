"""What the configuration says that a swarm can't do, or does in another way: docs/engines.md has the table. Pure."""

from collections.abc import Iterator, Mapping

from slot_machine.core.errors import Impossible
from slot_machine.engines.image import layout
from slot_machine.engines.left_out import DATABASE, OF_VERSION, leads_to_sqlite, left_out
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import timing

EDGE = "the swarm's edge decides on it"
NO_DAEMON = "no daemon runs"

LEFT_OUT_OF_DAEMON = {
    "access_log": EDGE,
    "bind": EDGE,
    "cpu_weight": "Docker Swarm knows no shares of the CPUs",
    "follow": f"{NO_DAEMON} that would look at the branch; let your CI run `slot-machine deploy`",
    "hooks": f"{NO_DAEMON} that would run them",
    "maintenance_page": "visitors see the edge's own page",
    "notify": f"{NO_DAEMON} that would send notices",
    "preview_port": "no candidate is held",
    "proxy_workers": EDGE,
    "response_timeout_ms": EDGE,
    "trusted_proxies": EDGE,
    "webhook": f"{NO_DAEMON} that would listen; let your CI run `slot-machine deploy`",
}
"""Fields of the daemon, and what their absence means."""


def refuse(app: App) -> list[str]:
    """Warnings of what is left out, but for what the edge leaves out. Raises Impossible."""
    _data(app)
    left = left_out(app, OF_VERSION, LEFT_OUT_OF_DAEMON)
    without = [f"`{field}` has no effect on a swarm: {meaning}" for field, meaning in left]
    return [*without, *_workers(app), *_jobs(app), *_turns(app), *_own_image(app)]


def refuse_values(app: App, variables: Mapping[str, str]) -> None:
    """Raises Impossible for variables that lead several copies to one SQLite file."""
    if timing.sharing(app) > 1 and (name := leads_to_sqlite(variables)):
        raise forked(app, name)


def forked(app: App, where: str) -> Impossible:
    what = f"{where} is a SQLite file, and {timing.sharing(app)} copies would write to it: that damages it"
    return Impossible(what, "set engine.replicas to 1 and run no workers, or use a database with a server")


def _data(app: App) -> None:
    version, engine = app.version, timing.settings(app)
    if version.shared_files:
        what = f"shared_files: a swarm has volumes for folders alone, so {version.shared_files[0]!r} can't be shared"
        raise Impossible(what, "put the file into a folder, and name the folder in shared_dirs")
    if not version.shared_dirs:
        return
    if engine.replicas > 1 and not engine.nfs:
        folder = version.shared_dirs[0]
        what = f"shared_dirs: {engine.replicas} copies can't share {folder!r}, which is on the disk of one node"
        raise Impossible(what, "set engine.replicas to 1, or engine.nfs to an NFS export that all nodes reach")
    if timing.sharing(app) > 1:
        for folder in version.shared_dirs:
            if DATABASE.search(folder):
                raise forked(app, f"shared_dirs: {folder!r}")


def _workers(app: App) -> Iterator[str]:
    for name, worker in app.version.workers.items():
        if worker.quiet_signal:
            yield f"`processes.{name}.quiet_signal` is not sent: Docker Swarm sends the stop signal alone"
        if worker.cpu_weight != 100:
            yield f"`processes.{name}.cpu_weight` has no effect on a swarm, which knows no shares of the CPUs"


def _jobs(app: App) -> Iterator[str]:
    for name, job in app.version.cron.items():
        yield (
            f"`cron.{name}` does not run: Docker Swarm has no schedules. Let the crontab of one machine that reaches"
            f" the swarm run it: `{job.schedule} slot-machine run -- {job.command}`"
        )


def _turns(app: App) -> Iterator[str]:
    if timing.local_data(app) and app.version.strategy != "replace":
        yield (
            "`shared_dirs`: one node has the data, so the old copy ends before the new one starts, and visitors get an"
            " error in between. With `engine.nfs` both run at once"
        )


def _own_image(app: App) -> Iterator[str]:
    """What the shim of our images does."""
    if not app.own_dockerfile:
        return
    yield (
        "`Dockerfile`: the image is your own, so its CMD starts the app, in place of `start_command`, and its"
        " HEALTHCHECK decides when a copy is healthy. Without one, a copy is taken for healthy as soon as it runs"
    )
    if app.env_digest:
        yield (
            f"`env_file`: an image of your own has to read the variables itself, from the file in ${layout.ENV_FILE},"
            " because a secret of Docker is a file"
        )
    if app.version.shared_dirs:
        yield f"`shared_dirs`: the volume is at {layout.SHARED}, where an image of your own has to look for the folders"
