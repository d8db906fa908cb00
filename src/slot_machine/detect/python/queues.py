"""Workers that a Celery app or a queue of Django asks for."""

import re

from slot_machine.core.version_config import Process
from slot_machine.detect import workers
from slot_machine.detect.project import Project
from slot_machine.detect.python.packages import Packages

QUEUES = {
    "django-rq": "manage.py rqworker default",
    "huey": "manage.py run_huey",
    "django-q2": "manage.py qcluster",
    "django-q": "manage.py qcluster",
}
"""Queues with a command of manage.py, by package."""


def find(project: Project, packages: Packages | None) -> dict[str, str | Process]:
    if not packages:
        return {}
    if packages.has("celery") and (module := _celery(project)):
        found: dict[str, str | Process] = {"worker": f"{packages.bin}/celery -A {module} worker"}
        if packages.has("django-celery-beat") or any(
            "beat_schedule" in text.lower() for _, text in project.sources(".py")
        ):
            found["beat"] = workers.process("beat", f"{packages.bin}/celery -A {module} beat")
        return found
    command = next((command for name, command in QUEUES.items() if packages.has(name)), "")
    if command and project.has("manage.py"):
        return {"worker": f"{packages.bin}/python {command}"}
    return {}


def _celery(project: Project) -> str:
    """The module for `celery -A`: that of the app object, or its package if that is `PACKAGE/celery.py`."""
    for name, text in project.sources(".py"):
        if re.search(r"^\w+\s*=\s*Celery\(", text, re.MULTILINE):
            return name.removesuffix(".py").removesuffix("/celery").removesuffix("/__init__").replace("/", ".")
    return ""
