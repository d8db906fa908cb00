"""How far a rollout is, by what the engine says of services and tasks. Pure.

The client of Docker exits with 0 after a rollback too, and an old `rollback_completed` stays on a service. So a rollout
has succeeded if each service has the release that was asked for, no update of it goes on, and all its tasks run it.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from slot_machine.engines.swarm.answers import Service, Task

MOST_SHOWN = 3
UNHEALTHY = "unhealthy container"
NO_IMAGE = "No such image"


class Seen(NamedTuple):
    """At one moment. `nodes` has names by ids."""

    services: Sequence[Service]
    tasks: Sequence[Task]
    nodes: Mapping[str, str] = {}


class State(Enum):
    GOES_ON = "goes on"
    MISCOUNTED = "miscounted"
    """The engine has finished, and too many or too few tasks run."""
    DONE = "done"
    FAILED = "failed"


class Verdict(NamedTuple):
    """`told` says in words how far it is, or what went wrong; `tasks` are those that are the reason."""

    state: State
    told: str
    tasks: Sequence[Task] = ()


def judged(seen: Seen, process: str, release: int, copies: int, before: Collection[str] = ()) -> Verdict:
    """Of one service, where `copies` of that release are asked for.

    `before` has the ids of tasks that were there when the rollout began: what they did is not its fault.
    """
    service = next((one for one in seen.services if one.process == process and not one.is_job), None)
    if not service:
        return Verdict(State.FAILED, f"{process}: somebody has removed its service")
    tasks = [task for task in seen.tasks if task.service_id == service.id]
    ended = [task for task in tasks if task.release == release and task.ended and task.id not in before]
    if failure := _failure(service, process, release, ended, seen.nodes):
        return Verdict(State.FAILED, failure, ended)
    wanted = [task for task in tasks if task.wanted]
    new = [task for task in wanted if task.release == release and task.runs]
    told = f"{process}: {len(new)} of {copies} {'copy is' if copies == 1 else 'copies are'} new and healthy"
    if service.state not in ("", "completed", "rollback_completed"):
        return Verdict(State.GOES_ON, told + _waiting(wanted, len(new), copies))
    if len(new) == len(wanted) == copies:
        return Verdict(State.DONE, told)
    if service.state or len(new) > copies:
        what = f"{process}: {len(wanted)} copies are there in place of {copies}, {len(new)} of them new and healthy"
        return Verdict(State.MISCOUNTED, what + _waiting(wanted, len(new), copies))
    return Verdict(State.GOES_ON, told + _waiting(wanted, len(new), copies))


def reason(task: Task, nodes: Mapping[str, str]) -> str:
    """Why a task ended, in words."""
    where = f" on {nodes[task.node_id]}" if task.node_id in nodes else ""
    error = task.status.err.removeprefix("task: ")
    if UNHEALTHY in error:
        return f"a copy{where} did not become healthy, or did not stay so"
    if task.status.state == "complete":
        # The engine does not say why it has asked a copy to end, and does so with those that are unhealthy.
        return f"a copy{where} has ended with exit code {task.exit_code}, by itself or because it was not healthy"
    if error.startswith("non-zero exit"):
        return f"a copy{where} has ended with exit code {task.exit_code}"
    return f"a copy{where} could not run: {error or task.status.state}"


def hint(tasks: Sequence[Task]) -> str:
    errors = " ".join(task.status.err for task in tasks)
    if NO_IMAGE in errors:
        return "the node has no such image and can't get it: see `slot-machine engine check`"
    if UNHEALTHY in errors or any(task.status.state == "complete" for task in tasks):
        return "look at health_endpoint, health_status and health_timeout_ms"
    return ""


def _failure(service: Service, process: str, release: int, ended: Sequence[Task], nodes: Mapping[str, str]) -> str:
    why = "; ".join(dict.fromkeys(reason(task, nodes) for task in ended[:MOST_SHOWN]))
    if service.spec.release != release:
        if service.state.startswith("rollback"):
            return f"{process}: {why or _message(service)}, so the engine has taken the update back"
        return f"{process}: somebody has begun another update of its service meanwhile"
    if service.state.endswith("paused"):
        return f"{process}: {why or _message(service)}, so the engine has paused the update"
    # Without an update there is nobody who takes it back: the engine would try for ever.
    return f"{process}: {why}" if why and not service.state else ""


def _message(service: Service) -> str:
    return (service.update_status.message if service.update_status else "") or "the engine does not say why"


def _waiting(wanted: Sequence[Task], new: int, copies: int) -> str:
    """What keeps the others from running."""
    if new >= copies:
        return ""
    errors = [task.status.err for task in wanted if task.status.state == "pending" and task.status.err]
    return f" ({errors[0]})" if errors else ""
