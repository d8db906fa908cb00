"""The answer to a caller who does not wait for the end of a watch."""

import asyncio

from slot_machine.app.outcomes import Outcome

Early = asyncio.Future[Outcome]
"""Done when the version is live and watched."""


def early(*, wanted: bool) -> Early | None:
    return asyncio.get_running_loop().create_future() if wanted else None


def answered(tasks: asyncio.TaskGroup, task: asyncio.Task[Outcome], early: Early | None) -> asyncio.Task[Outcome]:
    """A task that also ends with `early`."""
    if early is None:
        return task

    async def first() -> Outcome:
        await asyncio.wait([task, early], return_when=asyncio.FIRST_COMPLETED)
        return early.result() if early.done() else task.result()

    return tasks.create_task(first())
