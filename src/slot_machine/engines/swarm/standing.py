"""What runs of an app on a swarm, as `slot-machine status` shows it. Pure."""

from collections.abc import Collection, Iterator, Sequence

from slot_machine.core.model import short
from slot_machine.engines.engine import Copy, Live, Status
from slot_machine.engines.swarm import names
from slot_machine.engines.swarm.answers import Service, Task
from slot_machine.engines.swarm.rollout import Seen

GOING_ON = ("updating", "rollback_started")


def live(seen: Seen, proven: Collection[int]) -> Live | None:
    """None if nothing of ours is there, or if a first deploy has never brought a copy up.

    `proven` are releases that were live: one of them stays so while all its copies are away.
    """
    web = _service(seen, names.WEB)
    if not web or not (spec := web.live_spec).label(names.COMMIT):
        return None
    if spec.release not in proven and not any(task.runs for task in seen.tasks if task.service_id == web.id):
        return None
    return Live(spec.label(names.COMMIT), spec.release, spec.label(names.ENV), bool(web.spec.label(names.MAINTENANCE)))


def status(seen: Seen, proven: Collection[int]) -> Status:
    services = [one for one in seen.services if not one.is_job]
    copies = [
        _copy(task, service.process, seen)
        for service in sorted(services, key=lambda one: (one.process != names.WEB, one.process))
        for task in _shown([task for task in seen.tasks if task.service_id == service.id])
    ]
    now = live(seen, proven)
    return Status(
        live=now,
        wanted={one.process: one.spec.replicas for one in services},
        copies=copies,
        updating=any(one.state in GOING_ON for one in services),
        notes=tuple(_notes(services, now)),
    )


def _service(seen: Seen, process: str) -> Service | None:
    return next((one for one in seen.services if one.process == process and not one.is_job), None)


def _shown(tasks: Sequence[Task]) -> list[Task]:
    """What runs or is to run, and, of a slot where nothing runs, what has ended last."""
    wanted = [task for task in tasks if task.wanted]
    busy = {task.slot for task in wanted if task.runs}
    latest: dict[int, Task] = {}
    for task in sorted(tasks, key=lambda task: task.status.timestamp):
        if task.ended and task.slot not in busy:
            latest[task.slot] = task
    slots = {task.slot for task in wanted}
    return sorted([*wanted, *(task for slot, task in latest.items() if slot in slots)], key=lambda task: task.slot)


def _copy(task: Task, process: str, seen: Seen) -> Copy:
    return Copy(
        id=task.id[:12],
        process=process,
        commit=task.commit,
        release=task.release,
        state=task.status.state,
        node=seen.nodes.get(task.node_id, ""),
        since=task.status.timestamp,
        healthy=task.runs,
        error=task.status.err,
    )


def _notes(services: Sequence[Service], now: Live | None) -> Iterator[str]:
    for service in services:
        if service.state.endswith("paused") and service.update_status:
            yield (
                f"{service.process}: the engine has paused the update ({service.update_status.message});"
                " `slot-machine deploy` or `rollback` goes on"
            )
    if now:
        for service in services:
            if service.spec.release != now.release and service.state not in GOING_ON:
                other = short(service.spec.label(names.COMMIT))
                yield f"{service.process} is of release {service.spec.release} ({other}), and web of {now.release}"
