"""The release command and `slot-machine run`: jobs with the image, variables, networks and volumes of the app.

A job is a service of its own, which the engine runs once and never again (mode `replicated-job`, from 20.10 on). It is
removed afterwards, however the command ends.
"""

import shlex
import time
from collections.abc import Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from slot_machine.core.errors import EngineFailed
from slot_machine.core.model import rfc3339
from slot_machine.engines.image.layout import SHARED, command
from slot_machine.engines.release import now
from slot_machine.engines.shape import App
from slot_machine.engines.swarm import names, timing
from slot_machine.engines.swarm.answers import Service, Task
from slot_machine.engines.swarm.docker import Docker, options
from slot_machine.engines.swarm.output import Output, Piece
from slot_machine.engines.swarm.stack import ENV_PATH, MEGABYTE, SHELL, common_variables, constraints, nfs_options

RELEASE = "release"
"""The kind of a release command."""
POLL_S = 0.3
PENDING_LIMIT_S = timing.PULL_LIMIT_S
"""For the nodes to get the image, and to have room."""
STALE_S = 600.0
"""A job that ended so long ago has lost the command that waited for it."""


class Job(NamedTuple):
    """`kind` is `release` or `run`. `argv`: a single one is a command line."""

    kind: str
    name: str
    argv: Sequence[str]
    limit_s: float


def run(docker: Docker, app: App, job: Job) -> Generator[Piece, None, int]:
    """Its output, and its exit code. Raises EngineFailed if it can't be started, or has not ended in time."""
    ends = rfc3339(datetime.now(UTC) + timedelta(seconds=PENDING_LIMIT_S + job.limit_s))
    docker.client.run(*creation(app, job, ends=ends))
    try:
        with Output(docker.client, job.name) as output:
            task = yield from _until_end(docker, app, job, output)
            if task.status.state == "rejected":
                raise EngineFailed(f"the command could not run: {task.status.err}", "see `slot-machine engine check`")
            yield from output.rest()
            return task.exit_code
    finally:
        docker.drop("service", [job.name])


def remove_stale(docker: Docker, services: Sequence[Service], tasks: Sequence[Task]) -> None:
    """Jobs whose command was killed."""
    moment = rfc3339(datetime.now(UTC) - timedelta(seconds=STALE_S))
    for service in services:
        if not service.is_job:
            continue
        own = [task for task in tasks if task.service_id == service.id]
        lost = own and all(task.ended and task.status.timestamp < moment for task in own)
        if lost or service.spec.label(names.ENDS) < now():
            docker.drop("service", [service.id])


def end_releases(docker: Docker, app: str) -> None:
    """Release commands of a client that is gone. Their attempts are over, so what they do is nobody's any more."""
    found = [one for one in docker.services(app) if one.is_job and one.process == RELEASE]
    docker.drop("service", [one.id for one in found])


def _until_end(docker: Docker, app: App, job: Job, output: Output) -> Generator[Piece, None, Task]:
    began_s = time.monotonic()
    while True:
        task = _task(docker, app, job)
        if task and task.ended:
            return task
        running = task is not None and task.status.state == "running"
        if running:
            output.follow()
        passed_s = time.monotonic() - began_s
        if passed_s > (job.limit_s if running else PENDING_LIMIT_S):
            what = "has not ended" if running else f"could not start ({task.status.err if task else 'no task'})"
            raise EngineFailed(f"the command {what} within {passed_s:.0f} s", "its time limit is release_timeout_ms")
        yield from output.new(POLL_S)


def _task(docker: Docker, app: App, job: Job) -> Task | None:
    service = [one for one in docker.services(app.name) if one.spec.name == job.name]
    if not service:
        raise EngineFailed("somebody has removed the service of the command", "run it again")
    tasks = docker.tasks(service)
    return max(tasks, key=lambda task: task.created_at) if tasks else None


def creation(app: App, job: Job, *, ends: str = "") -> list[str]:
    """The words for `docker`. `ends`: when its time limit has passed, in RFC 3339.

    No health check: an image may have one, which would kill the job.
    """
    engine = timing.settings(app)
    labels = names.labels(app, job.kind)
    words = ["service", "create", "--quiet", "--detach", "--mode", "replicated-job", "--restart-condition", "none"]
    words += ["--no-resolve-image", "--no-healthcheck", "--name", job.name]
    words += ["--network", names.network(app.name)]
    words += options("--label", labels | ({names.ENDS: ends} if ends else {})) + options("--container-label", labels)
    words += options("--env", common_variables(app))
    words += ["--with-registry-auth"] if engine.registry else []
    if app.env_digest:
        source = names.secret(app.name, app.env_digest)
        words += ["--secret", f"source={source},target={ENV_PATH.rpartition('/')[2]}"]
    if app.version.shared_dirs:
        words += ["--mount", _mount(app)]
    if app.daemon.memory_max_mb:
        words += ["--limit-memory", str(app.daemon.memory_max_mb * MEGABYTE)]
    for constraint in constraints(app):
        words += ["--constraint", constraint]
    return [*words, *_program(app, job.argv)]


def _program(app: App, argv: Sequence[str]) -> list[str]:
    if not app.own_dockerfile:
        return [app.image, *command(*argv)]
    shell, option = SHELL
    return ["--entrypoint", shell, app.image, option, argv[0] if len(argv) == 1 else shlex.join(argv)]


def _mount(app: App) -> str:
    parts = ["type=volume", f"source={names.volume(app.name)}", f"target={SHARED}"]
    if nfs := timing.settings(app).nfs:
        # A value with commas is quoted as in a CSV file.
        parts += [f'"volume-opt={name}={value}"' for name, value in nfs_options(nfs).items()]
    return ",".join(parts)
