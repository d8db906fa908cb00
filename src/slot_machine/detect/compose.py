"""Everything that the detectors found, as one configuration."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from slot_machine.core.version_config import Process, VersionConfig
from slot_machine.detect import compiled, data, deno, elixir, env, health, php, procfile, ruby, shell, static
from slot_machine.detect.machine import Machine
from slot_machine.detect.node import app as node
from slot_machine.detect.node import package, scripts
from slot_machine.detect.part import Part, Rank, Recognised, chained
from slot_machine.detect.project import FOREIGN, Project
from slot_machine.detect.python import app as python
from slot_machine.detect.python import packages
from slot_machine.detect.words import word_set

ANY_BELOW_400 = "200-399"
PYTHON_PROGRAMS = word_set(
    "python python3 gunicorn uvicorn hypercorn daphne granian waitress-serve celery flask django-admin alembic rq huey"
    " dramatiq streamlit fastapi newrelic-admin rqworker rqscheduler honcho"
)
MANIFESTS = (
    r"[^/]+(?:/[^/]+)?"
    r"/(package\.json|manage\.py|requirements\.txt|pyproject\.toml|Gemfile|go\.mod|mix\.exs|composer\.json)"
)
LISTENS = re.compile(r"\.listen\(\s*(\d{2,5})|\bport\s*[=:]\s*(\d{4,5})\b", re.IGNORECASE)


class Proposal(NamedTuple):
    """`outside`: the data folder should not be below the repository. Look at `look`; `guessed` may be right."""

    version: VersionConfig
    env_file: str
    outside: bool
    recognised: tuple[Recognised, ...]
    guessed: tuple[str, ...]
    look: tuple[str, ...]


def propose(project: Project, machine: Machine, *, env_tracked: bool = False) -> Proposal:
    """Raises Unreadable."""
    parts = _parts(project, machine)
    best = min(parts, key=lambda part: part.rank, default=Part(()))
    start, said = _start(project, best)
    endpoint, status, why = _health(project, best)
    dirs, files, about_data = data.find(project, parts)
    environment = env.find(project, tracked=env_tracked)
    version = VersionConfig(
        root=project.root,
        start_command=start,
        setup_command=chained(sorted((part.setup for part in parts), key=_leaves_the_folder)),
        build_command=_build(project, parts),
        release_command=_release(project, parts),
        processes=_processes(project, parts),
        health_endpoint=endpoint,
        health_status=status,
        health_host=best.health_host,
        shared_dirs=dirs,
        shared_files=files,
        asset_dirs=_asset_dirs(parts, best, dirs),
    )
    return Proposal(
        version,
        environment.file,
        any(part.looks_up for part in parts),
        tuple(dict.fromkeys(each for part in parts for each in part.recognised)),
        tuple(dict.fromkeys((*said, *best.guessed, *why, *about_data))),
        tuple(dict.fromkeys((*_missing(project, start), *_remarks(project, parts, best), *environment.look))),
    )


def _parts(project: Project, machine: Machine) -> list[Part]:
    found = [
        procfile.find(project),
        python.find(project, machine),
        ruby.find(project, machine),
        elixir.find(project, machine),
        php.find(project, machine),
        node.find(project, machine),
        deno.find(project, machine),
        compiled.find_go(project, machine),
        compiled.find_rust(project, machine),
    ]
    parts = [part for part in found if part]
    if not any(part.start for part in parts) and (files := static.find(project)):
        parts.append(files)
    return _without_idle_packages(parts)


def _without_idle_packages(parts: list[Part]) -> list[Part]:
    """A package.json that neither starts nor builds anything beside a back end is for its developers."""
    others = any(part.start for part in parts if not part.looks_up)
    said = "the packages of package.json are not installed, as it neither starts nor builds anything"
    return [
        part._replace(setup="", look=(said,)) if others and part.looks_up and not (part.start or part.build) else part
        for part in parts
    ]


def _start(project: Project, best: Part) -> tuple[str, tuple[str, ...]]:
    start = _located(project, best.start) if best.rank is Rank.PROCFILE else best.start
    plain = shell.with_port(start)
    said = ("start_command takes $PORT in place of the port that is written into it",) if plain != start else ()
    return plain, said


def _located(project: Project, command: str, *, by_path: bool = False) -> str:
    """A command of the Procfile, with the programs of packages found where they are."""
    if project.has("package.json"):
        packed = package.read(project)
        command = scripts.of_line(command, packed, project)
    if project.has("go.mod"):
        command = procfile.located(command, "bin", frozenset({compiled.module_name(project)}))
    command = ruby.in_production(project, command)
    found = packages.read(project)
    if not found:
        return command
    return procfile.located(command, found.bin, PYTHON_PROGRAMS | found.dependencies, by_path=by_path)


def _build(project: Project, parts: list[Part]) -> str:
    """The Procfile's comes last, without what a detector found as well."""
    found = chained(part.build for part in sorted(parts, key=_assets_first) if not _is_procfile(part))
    own = next((part.build for part in parts if _is_procfile(part)), "")
    steps = [str(step) for step in shell.chain(own)]
    steps = [_located(project, step, by_path=True) for step in steps if not shell.builds_alike(step, found)]
    return chained((found, *steps))


def _release(project: Project, parts: list[Part]) -> str:
    own = next((part.release for part in parts if part.release and _is_procfile(part)), "")
    return _located(project, own) if own else chained(part.release for part in parts)


def _processes(project: Project, parts: list[Part]) -> dict[str, str | Process]:
    """The Procfile's, if it names any."""
    of_file = next((part.processes for part in parts if part.processes and _is_procfile(part)), {})
    found: Mapping[str, str | Process] = of_file or {
        name: process for part in parts for name, process in part.processes.items()
    }
    return {name: _with_located(project, process) for name, process in found.items()}


def _with_located(project: Project, process: str | Process) -> str | Process:
    if isinstance(process, str):
        return _located(project, process)
    return msgspec.structs.replace(process, command=_located(project, process.command))


def _health(project: Project, best: Part) -> tuple[str, int | str, tuple[str, ...]]:
    route, file = health.find(project)
    if best.health and best.rank is Rank.BACKEND:
        return best.health, ANY_BELOW_400 if "login" in best.health else 200, ()
    if route and best.rank is not Rank.STATIC:
        return route, 200, (f"health_endpoint is {route}, from {file}",)
    if not best.health and not health.has_sources(project):
        return "/healthz", 200, ("health_endpoint is /healthz, as there is no source to look in",)
    endpoint = best.health or "/"
    return endpoint, ANY_BELOW_400, (f"health_endpoint is {endpoint}, as no source shows a health check",)


def _asset_dirs(parts: list[Part], best: Part, shared: tuple[str, ...]) -> tuple[str, ...]:
    """Those of sites of files only when they are what is served."""
    found = [name for part in parts if part.rank is not Rank.STATIC or part is best for name in part.asset_dirs]
    return tuple(name for name in dict.fromkeys(found) if not any(data.within(name, each) for each in shared))


def _assets_first(part: Part) -> bool:
    """Front ends are built before the back end collects their files."""
    return not part.looks_up


def _leaves_the_folder(setup: str) -> bool:
    return setup.startswith("cd ")


def _missing(project: Project, start: str) -> list[str]:
    if start:
        return []
    said = ["fill in start_command: found nothing that says how to start the app"]
    folders = {name.rsplit("/", 1)[0] for name in project.matching(MANIFESTS)}
    folders = {name for name in folders if not FOREIGN & set(name.split("/"))}
    if folders:
        said.append(
            f"there are projects in {', '.join(sorted(folders)[:8])}: run init in the folder of the app to deploy"
        )
    return said


def _remarks(project: Project, parts: list[Part], best: Part) -> list[str]:
    found = _ignored(project)
    found += [*best.start_look, *(line for part in parts for line in part.look)]
    found += [
        f"{part.recognised[-1].file} says another way to start: {part.start}"
        for part in parts
        if part is not best and best.rank is not Rank.PROCFILE and part.start and part.rank <= Rank.APP
    ]
    development = shell.only(best.start)
    if best.rank is Rank.PROCFILE and development and scripts.is_development(development):
        found.append(f"the Procfile starts a development server: {best.start}")
    if "runserver" in best.start and best.rank is Rank.PROCFILE:
        found.append("the Procfile starts Django's development server")
    if best.start and not best.reads_port and "$PORT" not in shell.with_port(best.start):
        found.append(_unread_port(project))
    return found


def _ignored(project: Project) -> list[str]:
    """Lock files that are here, but in no commit."""
    names = (*package.LOCKS, *packages.LOCKED, "Gemfile.lock", "Cargo.lock", "composer.lock", "go.sum")
    found = [name for name in names if not project.has(name) and (project.folder / name).is_file()]
    return [f"git ignores {name}, so no deploy has it" for name in found]


def _unread_port(project: Project) -> str:
    said = "no source mentions PORT: the app has to listen on the port that this variable has"
    for name, text in project.sources(".js", ".mjs", ".ts", ".py", ".go", ".rb", ".rs"):
        if found := LISTENS.search(text):
            return f"{said}, and {name} seems to listen on {found[1] or found[2]}"
    return said


def _is_procfile(part: Part) -> bool:
    return any(each.file == "Procfile" for each in part.recognised)
