"""Django: from `manage.py` to its settings, and from these to commands."""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from slot_machine.detect import env
from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project
from slot_machine.detect.python import settings
from slot_machine.detect.python.packages import Packages

MODULE = re.compile(
    r"DJANGO_SETTINGS_MODULE['\"]?\s*,\s*['\"]([\w.]+)['\"]|DJANGO_SETTINGS_MODULE['\"]\]\s*=\s*['\"]([\w.]+)"
)


class Site(NamedTuple):
    """`folder` has manage.py. `module` is the settings module that the server uses, `text` that of all its parts."""

    folder: str
    module: str
    managed: str
    server: str
    text: str


def find(project: Project, packages: Packages | None) -> Part | None:
    managers = [name for name in project.matching(r"(.*/)?manage\.py") if _module_in(project.text(name))]
    if not managers:
        return None
    site = _site(project, managers[0])
    others = tuple(name for name in managers[1:] if name.count("/") == managers[0].count("/"))
    look = [f"several Django projects: {', '.join((managers[0], *others))}. The first one was taken"] if others else []
    own = packages.bin if packages else "python3"
    start, rank, words = _start(project, site, packages)
    python = f"{own}/python" if packages else "python3"
    manage = _within(site, f"{_settings(site)}{_out(site, python)} manage.py")
    static, reason = _collects(project, site)
    look += [reason] if reason else []
    look += env.required(site.text, project)
    look += settings.database(site.text)
    health, health_host, said = settings.health(project, site.text)
    dirs, files = settings.data(site.text, site.folder)
    return Part(
        recognised=(Recognised("Django", managers[0]),),
        build=f"{manage} collectstatic --noinput" if static else "",
        release=f"{manage} migrate --noinput",
        start=start,
        rank=rank,
        health=health,
        health_host=health_host,
        shared_dirs=dirs,
        shared_files=files,
        asset_dirs=settings.assets(site.text, site.folder, collected=static),
        guessed=tuple(said),
        look=tuple(look),
        start_look=tuple(words),
    )


def _site(project: Project, manager: str) -> Site:
    parent = str(PurePosixPath(manager).parent)
    folder = "" if parent == "." else parent
    managed = _module_in(project.text(manager))
    servers = [
        name
        for kind in ("wsgi", "asgi")
        for name in project.matching(rf"{re.escape(folder)}{'/' if folder else ''}(.*/)?{kind}\.py")
        if "get_wsgi_application" in project.text(name) or "get_asgi_application" in project.text(name)
    ]
    module = next((found for name in servers if (found := _module_in(project.text(name)))), managed)
    return Site(
        folder, module, managed, _dotted(servers[0], folder) if servers else "", _texts(project, folder, module)
    )


def _texts(project: Project, folder: str, module: str) -> str:
    """The settings module, and those that it imports with `*`."""
    prefix = f"{folder}/" if folder else ""
    path = prefix + module.replace(".", "/")
    name = project.first(f"{path}.py", f"{path}/__init__.py")
    text = project.text(name)
    package = PurePosixPath(name).parent
    for found in re.findall(r"^\s*from\s+(\.*[\w.]*)\s+import\s+\*", text, re.MULTILINE):
        inner = (
            package / found.lstrip(".") if found.startswith(".") else PurePosixPath(prefix + found.replace(".", "/"))
        )
        inner = inner if not found.startswith(".") else package / found.lstrip(".").replace(".", "/")
        text += "\n" + project.text(project.first(f"{inner}.py", f"{inner}/__init__.py"))
    return text


def _start(project: Project, site: Site, packages: Packages | None) -> tuple[str, Rank, list[str]]:
    own = _out(site, packages.bin) if packages else ""
    wsgi, asgi = (site.server.rsplit(".", 1)[0] + f".{kind}" if site.server else "" for kind in ("wsgi", "asgi"))
    has_wsgi, has_asgi = (_exists(project, site, module) for module in (wsgi, asgi))
    needs_asgi = not has_wsgi or (packages is not None and packages.has("channels"))
    if packages and site.server:
        choices = [
            (has_wsgi and not needs_asgi, "gunicorn", f"gunicorn {wsgi} --bind 127.0.0.1:$PORT"),
            (has_asgi, "uvicorn", f"uvicorn {asgi}:application --host 127.0.0.1 --port $PORT"),
            (has_asgi, "daphne", f"daphne -b 127.0.0.1 -p $PORT {asgi}:application"),
            (has_asgi, "hypercorn", f"hypercorn {asgi}:application --bind 127.0.0.1:$PORT"),
            (has_wsgi, "gunicorn", f"gunicorn {wsgi} --bind 127.0.0.1:$PORT"),
            (has_wsgi, "waitress", f"waitress-serve --listen=127.0.0.1:$PORT {wsgi}:application"),
            (has_wsgi, "granian", f"granian --interface wsgi --host 127.0.0.1 --port $PORT {wsgi}:application"),
        ]
        for usable, name, command in choices:
            if usable and packages.has(name):
                return _within(site, f"{own}/{command}"), Rank.BACKEND, []
    python = f"{own}/python" if packages else "python3"
    command = f"{_settings(site)}{python} manage.py runserver --noreload 127.0.0.1:$PORT"
    said = (
        "start_command is Django's development server, as no other is a dependency: add gunicorn, then run init again"
    )
    return _within(site, command), Rank.BACKEND, [said]


def _collects(project: Project, site: Site) -> tuple[bool, str]:
    """Whether collectstatic can run, else why not, if that needs to be said."""
    if "django.contrib.staticfiles" not in site.text:
        return False, ""
    if not re.search(r"^STATIC_ROOT\s*=", site.text, re.MULTILINE):
        has = "set STATIC_ROOT under a condition" if "STATIC_ROOT =" in site.text else "have no STATIC_ROOT"
        return False, f"build_command has no collectstatic, as the settings {has}"
    secret = re.search(r"^\s*SECRET_KEY\s*=\s*(.+)", site.text, re.MULTILINE)
    if not secret:
        return False, "build_command has no collectstatic, as the settings have no SECRET_KEY"
    name = re.search(
        r"(?:environ\[|environ\.get\(|getenv\(|env\(|config\(|env\.str\(|env\.get\()\s*['\"](\w+)['\"]\s*[\])]",
        secret[1],
    )
    if name and not re.search(rf"^\s*(?:export\s+)?{name[1]}\s*=", project.on_disk(".env"), re.MULTILINE):
        return (
            False,
            f"build_command has no collectstatic, as {name[1]} is not set: put it into env_file, then run init again",
        )
    return True, ""


def _settings(site: Site) -> str:
    """manage.py often names the settings of developers."""
    return f"DJANGO_SETTINGS_MODULE={site.module} " if site.module != site.managed else ""


def _within(site: Site, command: str) -> str:
    return f"cd {site.folder} && {command}" if site.folder else command


def _out(site: Site, path: str) -> str:
    """A path of the root folder, seen from the folder of manage.py."""
    up = "../" * len(PurePosixPath(site.folder).parts) if site.folder else ""
    return up + path if "/" in path else path


def _exists(project: Project, site: Site, module: str) -> bool:
    prefix = f"{site.folder}/" if site.folder else ""
    return bool(module) and project.has(f"{prefix}{module.replace('.', '/')}.py")


def _dotted(name: str, folder: str) -> str:
    inner = name.removeprefix(f"{folder}/") if folder else name
    return inner.removesuffix(".py").replace("/", ".")


def _module_in(text: str) -> str:
    """The settings module that manage.py or a server's module names; empty if it is none of Django's."""
    if found := MODULE.search(text):
        return str(found[1] or found[2])
    if "DJANGO_SETTINGS_MODULE" not in text:
        return ""
    # It may be chosen under a condition, such as for a hosting service.
    dotted = re.findall(r"['\"]((?:\w+\.)+\w+)['\"]", text)
    return next((name for name in dotted if "settings" in name), next(iter(dotted), ""))
