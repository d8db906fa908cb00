"""Flask, FastAPI and their kind: the module that has the app object, and the server that runs it."""

import re
from typing import NamedTuple

from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project
from slot_machine.detect.python.packages import Packages

KINDS = {"FastAPI": "asgi", "Starlette": "asgi", "Quart": "asgi", "Litestar": "asgi", "Flask": "wsgi", "Bottle": "wsgi"}
OBJECT = re.compile(rf"^(?P<name>\w+)\s*(?::\s*[\w.]+\s*)?=\s*(?:[\w.]+\.)?(?P<kind>{'|'.join(KINDS)})\(", re.MULTILINE)
FACTORY = re.compile(r"^(?:async\s+)?def\s+(?P<name>create_app|make_app|app_factory)\(", re.MULTILINE)
CALLED = re.compile(r"^(?P<name>app|application)\s*=\s*(?:[\w.]+\.)?(?:create|make|get|build|init)_\w*\(", re.MULTILINE)
NAMES = ("wsgi", "asgi", "app", "main", "application", "server", "run", "api", "__init__")
"""Modules in which the app object is looked for first."""
ADD = "add gunicorn, then run init again"
SCRIPTS = ("app.py", "main.py", "server.py", "run.py", "wsgi.py", "src/main.py")


class App(NamedTuple):
    kind: str
    target: str
    """As servers take it: `package.module:app`."""
    file: str
    source: str
    factory: bool = False


def find(project: Project, packages: Packages | None) -> Part | None:
    app = _app(project, packages)
    if not app:
        return _script(project, packages)
    command, about_server = _server(app, packages)
    release, said = _migrations(project, app, packages)
    shared = ("instance",) if app.kind == "Flask" and _uses_instance(project) else ()
    return Part(
        recognised=(Recognised(app.kind, app.file),),
        release=release,
        start=command,
        rank=Rank.APP,
        shared_dirs=shared,
        health="/docs" if app.kind == "FastAPI" and not _has_root(project) else "",
        guessed=said,
        look=_makers(project),
        start_look=about_server,
    )


def _app(project: Project, packages: Packages | None) -> App | None:
    depends = {kind for kind in KINDS if packages and packages.has(kind.lower())}
    found = [app for name, text in project.sources(".py") for app in _in(name, text, depends)]
    found.sort(key=lambda app: (_place(app), app.file.count("/")))
    return found[0] if found else None


def _in(name: str, text: str, depends: set[str]) -> list[App]:
    kind = next((kind for kind in KINDS if kind in depends and re.search(rf"\b{kind}\b", text)), "")
    if found := OBJECT.search(text):
        return [App(found["kind"], f"{_module(name)}:{found['name']}", name, text)]
    if (found := CALLED.search(text)) and (depends or kind):
        return [App(kind or min(depends), f"{_module(name)}:{found['name']}", name, text)]
    if kind and (found := FACTORY.search(text)):
        return [App(kind, f"{_module(name)}:{found['name']}", name, text, factory=True)]
    return []


def _place(app: App) -> int:
    module = app.file.removesuffix(".py").rsplit("/", 1)[-1]
    return NAMES.index(module) if module in NAMES else len(NAMES)


def _module(name: str) -> str:
    """As it is imported from the root folder; `src` is put on the path by an installed project."""
    return name.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")


def _server(app: App, packages: Packages | None) -> tuple[str, tuple[str, ...]]:
    own = f"{packages.bin}/" if packages else ""
    wsgi = f"'{app.target}()'" if app.factory else app.target
    factory = " --factory" if app.factory else ""
    at = "--host 127.0.0.1 --port $PORT"
    servers = {
        "asgi": {
            "uvicorn": f"uvicorn {app.target}{factory} {at}",
            "hypercorn": f"hypercorn {wsgi} --bind 127.0.0.1:$PORT",
            "granian": f"granian --interface asgi {app.target}{factory} {at}",
            "fastapi-cli": f"fastapi run {app.file} {at}",
        },
        "wsgi": {
            "gunicorn": f"gunicorn {wsgi} --bind 127.0.0.1:$PORT",
            "waitress": f"waitress-serve --listen=127.0.0.1:$PORT {'--call ' * app.factory}{app.target}",
            "granian": f"granian --interface wsgi {app.target}{factory} {at}",
        },
    }[KINDS[app.kind]]
    for name, command in servers.items():
        if packages and packages.has(name):
            return own + command, ()
    if app.kind in ("Flask", "Quart"):
        said = f"start_command is {app.kind}'s development server, as no other one is a dependency: {ADD}"
        return f"{own}{app.kind.lower()} --app {app.target} run {at}", (said,)
    if KINDS[app.kind] == "asgi":
        said = "uvicorn is not named as a dependency: add it if the deploy does not find it"
        return f"{own}uvicorn {app.target}{factory} {at}", (said,)
    return f"{own}python {app.file}", ()


def _migrations(project: Project, app: App, packages: Packages | None) -> tuple[str, tuple[str, ...]]:
    own = f"{packages.bin}/" if packages else ""
    if packages and packages.has("flask-migrate") and project.matching(r"migrations/(env\.py|versions/.*)"):
        return f"{own}flask --app {app.target} db upgrade", ()
    if packages and project.has("alembic.ini"):
        return f"{own}alembic upgrade head", ()
    return "", ()


def _makers(project: Project) -> tuple[str, ...]:
    """Commands of the app that may have to run once. They often empty the database, so they are no release_command."""
    for name, text in project.sources(".py"):
        if found := re.search(r"command\(\s*['\"](init[-_]?db|create[-_]?(?:db|all))['\"]", text):
            return (
                f"{name} has the command {found[1]}: if it makes the database, run it once, before the first deploy",
            )
    return ()


def _uses_instance(project: Project) -> bool:
    return any(
        re.search(r"instance_path|instance_relative_config|sqlite:///(?!/)", text) for _, text in project.sources(".py")
    )


def _has_root(project: Project) -> bool:
    """A router's own `/` may lie below a prefix."""
    route = r"\b(app|application|api)\.(get|route|mount|api_route)\(\s*['\"]/['\"]"
    return any(re.search(route, text) for _, text in project.sources(".py"))


def _script(project: Project, packages: Packages | None) -> Part | None:
    """A program that listens by itself, such as one with aiohttp or with http.server."""
    name = project.first(*SCRIPTS)
    if not name or (packages is None and "PORT" not in project.text(name) and "serve" not in project.text(name)):
        return None
    python = f"{packages.bin}/python" if packages else "python3"
    return Part(
        recognised=(Recognised("Python", name),),
        start=f"{python} {name}",
        rank=Rank.GUESS,
        guessed=(f"start_command is {python} {name}, as no framework was recognised",),
        reads_port=any("PORT" in text for _, text in project.sources(".py")),
    )
