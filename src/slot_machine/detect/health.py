"""Routes for health checks that the sources show."""

import re
from pathlib import PurePosixPath

from slot_machine.detect.project import Project

NAMES = r"_?health(?:z|[-_]?check)?|ping|livez|readyz|up|status/health"
PATH = rf"/(?:api/)?(?:{NAMES})/?"
APP = r"(?:app|application|server|fastify|hono|srv|mux|http|e|r|router|api|engine)"
SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".tsx", ".py", ".rb", ".ru", ".go", ".rs", ".ex", ".php")

IN_SOURCE = (
    # JavaScript: a router has a prefix that can't be seen here, the app has none.
    (SUFFIXES[:6], rf"\b(?:app|server|fastify|hono|application)\s*\.(?:get|all|use|route)\(\s*['\"`]({PATH})['\"`]"),
    ((".py",), rf"@(?:app|application|server|api)\.(?:get|route)\(\s*['\"]({PATH})['\"]"),
    ((".rb", ".ru"), rf"^\s*get\s*\(?['\"]({PATH})['\"]"),
    ((".go",), rf"\.(?:Handle|HandleFunc|GET|Get)\(\s*\"(?:GET )?({PATH})\""),
    ((".rs",), rf"\.route\(\s*\"({PATH})\"|#\[get\(\"({PATH})\"\)\]"),
    ((".ex",), rf"^\s*get\s+\"({PATH})\""),
)
"""A route on the app itself, by language."""
AS_FILE = (
    (rf"(?:src/)?(?:app|pages)/((?:api/)?(?:{NAMES}))(?:/route)?\.(?:js|ts|tsx)", "/"),
    (rf"server/(?:routes/)?((?:api/)?(?:{NAMES}))(?:\.get)?\.(?:js|ts)", "/"),
    (rf"src/routes/((?:api/)?(?:{NAMES}))/\+server\.(?:js|ts)", "/"),
    (rf"src/pages/((?:api/)?(?:{NAMES}))\.(?:js|ts)", "/"),
    (rf"app/routes/({NAMES})\.(?:js|ts|tsx)", "/"),
)
"""A route that is a file, in frameworks that have such."""


def find(project: Project) -> tuple[str, str]:
    """The path and the file that shows it. Empty if none does."""
    for pattern, prefix in AS_FILE:
        for name in project.matching(pattern):
            found = re.fullmatch(pattern, name)
            if found and not (PurePosixPath(name).name.startswith("up.") and "api" not in name):
                return prefix + found[1], name
    for suffixes, pattern in IN_SOURCE:
        for name, text in project.sources(*suffixes):
            if found := re.search(pattern, text, re.MULTILINE):
                return next(path for path in found.groups() if path), name
    return "", ""


def has_sources(project: Project) -> bool:
    return next(iter(project.sources(*SUFFIXES, ".html")), None) is not None
