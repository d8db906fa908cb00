"""Runtimes: the programs of each, the official images that have it, and which version a project's own files ask for."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from slot_machine.detect.project import Project, table
from slot_machine.detect.python import packages
from slot_machine.detect.versions import fits
from slot_machine.detect.words import word_set

NEWEST = 99
"""In place of the numbers that a tag such as `node:22` leaves open."""
PINNED = re.compile(r"=?\s*v?(\d+(?:\.\d+){0,2})\s*\Z")
CODENAMES = {
    "erbium": "12",
    "fermium": "14",
    "gallium": "16",
    "hydrogen": "18",
    "iron": "20",
    "jod": "22",
    "krypton": "24",
}
"""Of the long-term releases of Node, as `.nvmrc` names them."""


class Runtime(NamedTuple):
    """`image` has `{}` in place of the version. `known` are the versions to choose from, the default one first."""

    title: str
    image: str
    known: tuple[str, ...]
    programs: frozenset[str]
    manifests: tuple[str, ...]
    wanted: Callable[[Project], str]
    tool: str
    """Its name in `.tool-versions` and `mise.toml`."""


def version(runtime: Runtime, project: Project) -> str:
    """Of the image's tag: what is pinned, else the first known one that fits what is asked for."""
    wanted = runtime.wanted(project).strip() or _managed(project, runtime.tool)
    if pinned := PINNED.match(wanted):
        return pinned[1]
    for each in runtime.known:
        numbers = tuple(int(part) for part in each.split("."))
        if fits((*numbers, NEWEST, NEWEST)[:3], wanted):
            return each
    lowest = re.search(r"\d+(\.\d+)*", wanted)
    return lowest[0] if lowest else runtime.known[0]


def _managed(project: Project, tool: str) -> str:
    """As asdf and mise have it."""
    for name in (".tool-versions", "mise.toml", ".mise.toml"):
        if found := re.search(rf"^(?:{tool})\s*[= ]\s*[\"']?[a-z-]*(\d[\d.]*)", project.text(name), re.MULTILINE):
            return found[1].rstrip(".")
    return ""


def _node(project: Project) -> str:
    raw = project.json("package.json")
    own = project.text(project.first(".nvmrc", ".node-version")).strip()
    codename = own.rpartition("/")[2].lower()
    own = CODENAMES.get(codename, own)
    asked = table(raw, "engines").get("node") or table(raw, "volta").get("node")
    return own if own[:1].isdigit() or own[:1] == "v" else str(asked or "")


def _bun(project: Project) -> str:
    named = str(project.json("package.json").get("packageManager") or "")
    return named.removeprefix("bun@").partition("+")[0] if named.startswith("bun@") else ""


def _ruby(project: Project) -> str:
    named = re.search(r"^\s*ruby\s+['\"]([^'\"]+)['\"]", project.text("Gemfile"), re.MULTILINE)
    own = re.match(r"(?:ruby-)?(\d[\d.]*)", project.text(".ruby-version").strip())
    return named[1] if named else own[1] if own else ""


def _php(project: Project) -> str:
    return str(table(project.json("composer.json"), "require").get("php") or "")


def _go(project: Project) -> str:
    """The lowest that go.mod takes is what it was written for."""
    found = re.search(r"^(?:toolchain go|go\s+)(\d+\.\d+)", project.text("go.mod"), re.MULTILINE)
    return found[1] if found else ""


def _rust(project: Project) -> str:
    own = re.search(r"(\d+\.\d+(?:\.\d+)?)", project.text(project.first("rust-toolchain.toml", "rust-toolchain")))
    return own[1] if own else ""


def _elixir(project: Project) -> str:
    found = re.search(r"elixir:\s*\"([^\"]+)\"", project.text("mix.exs"))
    return found[1] if found else ""


def _java(project: Project) -> str:
    pom = re.search(r"<(?:java\.version|maven\.compiler\.(?:release|source))>(\d+)<", project.text("pom.xml"))
    gradle = re.search(r"(?:JavaLanguageVersion\.of\(|VERSION_)(\d+)", _gradle(project))
    own = re.search(r"\d+", project.text(".java-version"))
    return own[0] if own else pom[1] if pom else gradle[1] if gradle else ""


def _gradle(project: Project) -> str:
    return project.text("build.gradle") + project.text("build.gradle.kts")


def _python(project: Project) -> str:
    return packages.wanted_version(project)[0]


def _none(_: Project) -> str:
    return ""


PYTHON = (
    "python python3 pip pip3 uv uvx poetry pdm pipenv gunicorn uvicorn hypercorn daphne granian waitress-serve celery"
    " flask fastapi django-admin alembic streamlit"
)
JAVA = "java javac mvn mvnw gradle gradlew"

RUNTIMES: Mapping[str, Runtime] = {
    "deno": Runtime(
        "Deno", "denoland/deno:debian-{}", ("2.5.6",), word_set("deno"), ("deno.json", "deno.jsonc"), _none, "deno"
    ),
    "bun": Runtime("Bun", "oven/bun:{}-slim", ("1",), word_set("bun bunx"), ("bun.lock", "bun.lockb"), _bun, "bun"),
    "node": Runtime(
        "Node",
        "node:{}-slim",
        ("24", "22", "20", "18", "16", "14"),
        word_set("node npm npx yarn pnpm corepack next nuxt tsx"),
        ("package.json",),
        _node,
        "nodejs|node",
    ),
    "python": Runtime(
        "Python",
        "python:{}-slim",
        ("3.13", "3.12", "3.11", "3.10", "3.9", "3.8"),
        word_set(PYTHON),
        ("pyproject.toml", "requirements.txt", "Pipfile", "setup.py", "manage.py"),
        _python,
        "python",
    ),
    "ruby": Runtime(
        "Ruby",
        "ruby:{}-slim",
        ("3.4", "3.3", "3.2", "3.1", "3.0", "2.7"),
        word_set("ruby bundle bundler gem rails rake puma rackup falcon sidekiq"),
        ("Gemfile", "config.ru"),
        _ruby,
        "ruby",
    ),
    "php": Runtime(
        "PHP",
        "php:{}-cli",
        ("8.4", "8.3", "8.2", "8.1", "7.4"),
        word_set("php composer"),
        ("composer.json",),
        _php,
        "php",
    ),
    "elixir": Runtime(
        "Elixir",
        "elixir:{}-slim",
        ("1.18", "1.17", "1.16", "1.15", "1.14"),
        word_set("mix elixir iex"),
        ("mix.exs",),
        _elixir,
        "elixir",
    ),
    "go": Runtime("Go", "golang:{}", ("1.25", "1.24", "1.23"), word_set("go"), ("go.mod",), _go, "golang|go"),
    "rust": Runtime("Rust", "rust:{}-slim", ("1",), word_set("cargo rustc"), ("Cargo.toml",), _rust, "rust"),
    "java": Runtime(
        "Java",
        "eclipse-temurin:{}-jdk",
        ("21", "17", "11"),
        word_set(JAVA),
        ("pom.xml", "build.gradle", "build.gradle.kts"),
        _java,
        "java",
    ),
}
"""The first one whose manifest a project has counts if its commands do not tell."""
