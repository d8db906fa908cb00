"""`Procfile`: what the project itself says of its processes."""

import re

from slot_machine.core.version_config import Process
from slot_machine.detect import shell, workers
from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project

LINE = re.compile(r"^([A-Za-z0-9_-]+):\s*(\S.*?)\s*$", re.MULTILINE)


def find(project: Project) -> Part | None:
    """`web` starts the app, `release` is the release command, and each other line a process.

    What `web` builds or migrates before it starts the app would also run at each restart and rollback: it is taken out.
    """
    entries = dict(LINE.findall(project.text("Procfile")))
    if not entries:
        return None
    look = []
    processes: dict[str, str | Process] = {}
    for name, command in entries.items():
        if name in ("web", "release"):
            continue
        lower = name.lower()
        if not re.match(r"[a-z]", lower):
            look.append(f"Procfile: {name} is not taken, as names begin with a letter")
            continue
        if len(lower) <= 40:
            processes[lower] = workers.process(lower, command)
    web = shell.steps(entries.get("web", ""))
    return Part(
        recognised=(Recognised("processes", "Procfile"),),
        build=" && ".join(web.build),
        release=" && ".join(filter(None, (entries.get("release", ""), *web.release))),
        start=web.start,
        rank=Rank.PROCFILE if "web" in entries else Rank.NONE,
        processes=processes,
        look=tuple(look),
        reads_port=True,
    )


def located(command: str, folder: str, programs: frozenset[str], *, by_path: bool = False) -> str:
    """The command with the path of its program, where that is one of the project's packages.

    `by_path`: it is found by PATH instead, because it may call further ones, as `flask translate` calls `pybabel`.
    """
    simple = shell.only(command)
    if simple and simple.program in programs:
        if by_path and not simple.program.startswith("python"):
            return f'PATH="$PWD/{folder}:$PATH" {simple}'
        # uWSGI looks for Python beside itself, unless it is told which virtual environment to use.
        virtual = (f'VIRTUAL_ENV="$PWD/{folder.removesuffix("/bin")}"',) if simple.program == "uwsgi" else ()
        words = (f"{folder}/{simple.program}", *simple.words[1:])
        return str(simple._replace(env=(*virtual, *simple.env), words=words))
    if any(part.program in programs for part in shell.chain(command)) or (not simple and _names(command, programs)):
        return f'export PATH="$PWD/{folder}:$PATH"; {command}'
    return command


def _names(command: str, programs: frozenset[str]) -> bool:
    return bool(set(re.findall(r"[\w.-]+", command)) & programs)
