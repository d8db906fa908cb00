"""How a Python project is installed and started."""

from slot_machine.detect.machine import Machine
from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project
from slot_machine.detect.python import django, packages, queues, web


def find(project: Project, machine: Machine) -> Part | None:
    """Raises Unreadable."""
    found = packages.read(project)
    app = django.find(project, found) or web.find(project, found)
    if not found:
        return app
    python, said = packages.python(project, machine)
    version = f"{said.partition(': ')[0]}: uv downloads it in the setup" if said and found.manager == "uv" else said
    app = app or Part(recognised=(), rank=Rank.NONE)
    return app._replace(
        recognised=(Recognised(found.manager, found.file or found.others[0]), *app.recognised),
        setup=packages.install(found, project, python),
        processes=queues.find(project, found),
        look=tuple(dict.fromkeys((*app.look, *packages.remarks(found, project, machine), *filter(None, [version])))),
    )
