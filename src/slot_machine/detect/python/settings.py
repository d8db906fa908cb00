"""What the settings of a Django project say of its hosts, data and static files."""

import re

from slot_machine.detect.project import Project

PATH = r"(?:BASE_DIR|ROOT_DIR|PROJECT_ROOT|BASE_PATH)"
"""How settings call the project's folder."""
ROUTE = r"\b(?:path|re_path|url)\(\s*r?['\"]\^?{path}['\"]"
SERVERS = re.compile(r"\b(postgres|mysql|mariadb|oracle)(?:ql)?(?:://|['\"])|backends\.(postgresql|mysql|oracle)")
INSIDE = re.compile(
    rf"(?:str\(\s*)?(?:{PATH}\s*/\s*['\"]([^'\"]+)['\"](?:\s*/\s*['\"]([^'\"]+)['\"])?"
    rf"|os\.path\.join\(\s*{PATH}\s*,\s*['\"]([^'\"]+)['\"](?:\s*,\s*['\"]([^'\"]+)['\"])?"
    r"|['\"]([\w./-]+)['\"])"
)


def health(project: Project, text: str) -> tuple[str, str, list[str]]:
    """Endpoint, Host field and what was guessed."""
    host, said = _host(project, text)
    urls = _urls(project, text)
    for path in re.findall(
        r"path\(\s*['\"]((?:api/)?_?(?:health|healthz|health-check|healthcheck|ping|up|livez)/?)['\"]", urls
    ):
        if "include" not in urls.split(path, 1)[1].split("\n", 1)[0]:
            return f"/{path}", host, [*said, f"health_endpoint is /{path}, from urls.py"]
    if not re.search(ROUTE.format(path=r"\$?"), urls) and re.search(ROUTE.format(path="admin/"), urls):
        return "/admin/login/", host, [*said, "health_endpoint is /admin/login/, as urls.py has no page at /"]
    return "", host, said


def _urls(project: Project, text: str) -> str:
    """The routes of ROOT_URLCONF: those of other modules may lie below a prefix."""
    root = re.search(r"^\s*ROOT_URLCONF\s*=\s*['\"]([\w.]+)['\"]", text, re.MULTILINE)
    path = root[1].replace(".", "/") + ".py" if root else "urls.py"
    return "".join(_routes(source) for name, source in project.sources(".py") if f"/{name}".endswith(f"/{path}"))


def database(text: str) -> list[str]:
    """A line for the user if the settings name a database that is a server of its own."""
    found = SERVERS.search(text)
    said = "the settings use {kind}: see that it runs, and that env_file says where"
    return [said.format(kind=found[1] or found[2])] if found and "sqlite" not in text else []


def _host(project: Project, text: str) -> tuple[str, list[str]]:
    """A host that ALLOWED_HOSTS has; empty if health checks of 127.0.0.1 pass."""
    setting = re.search(r"^\s*ALLOWED_HOSTS\s*[:=]\s*(\[[^\]]*\]|.+)", text, re.MULTILINE)
    if not setting:
        return "", []
    names = re.findall(r"['\"]([^'\"\s]+)['\"]", setting[1]) if setting[1].startswith("[") else []
    own = re.search(r"^\s*(?:DJANGO_)?ALLOWED_HOSTS\s*=\s*['\"]?([^\s'\"]+)", project.on_disk(".env"), re.MULTILINE)
    if own and not names:
        names = re.split(r"[,;]", own[1])
    if not names and not setting[1].startswith("[") and "*" not in setting[1] and "127.0.0.1" not in setting[1]:
        return "localhost", ["health_host is localhost, as ALLOWED_HOSTS is not written out: see that it has this host"]
    if {"*", "127.0.0.1"} & set(names) or not names:
        return "", []
    host = next((name.lstrip(".") for name in names if name != "localhost"), "localhost")
    return host, [f"health_host is {host}, from ALLOWED_HOSTS"]


def _routes(text: str) -> str:
    """Without the docstring and comments, which have examples of routes in a new project."""
    return re.sub(r"#.*", "", re.split(r"^urlpatterns\b.*?=", text, maxsplit=1, flags=re.MULTILINE)[-1])


def data(text: str, folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Folders and files that the app writes to."""
    prefix = f"{folder}/" if folder else ""
    dirs, files = [], []
    media = re.search(r"^\s*MEDIA_ROOT\s*=\s*(.+)", text, re.MULTILINE)
    if media and (path := _inside(media[1])):
        dirs.append(prefix + path)
    for found in re.finditer(r"['\"]NAME['\"]\s*:\s*(.+)", text):
        path = _inside(found[1])
        if re.search(r"\.(sqlite3?|db)$", path):
            if "/" in path:
                dirs.append(prefix + path.rsplit("/", 1)[0])
            else:
                files.append(prefix + path)
    files += [prefix + path.removeprefix("./") for path in re.findall(r"sqlite:///(?!/)([\w./-]+)", text)]
    return tuple(dict.fromkeys(dirs)), tuple(dict.fromkeys(files))


def _inside(expression: str) -> str:
    """The path below the project's folder that an expression of the settings means. Empty if it is not clear."""
    found = INSIDE.match(expression.strip())
    path = "/".join(part for part in found.groups() if part) if found else ""
    return "" if path.startswith(("/", "..")) else path.strip("/").removeprefix("./")


def assets(text: str, folder: str, *, collected: bool) -> tuple[str, ...]:
    if not collected or "Manifest" not in text:
        return ()
    found = re.search(r"^\s*STATIC_ROOT\s*=\s*(.+)", text, re.MULTILINE)
    path = _inside(found[1]) if found else ""
    return ((f"{folder}/{path}" if folder else path),) if path else ()
