"""Takes the start script of a package apart, so that nothing stands between the daemon and the app."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from slot_machine.detect import shell
from slot_machine.detect.node.package import Package
from slot_machine.detect.project import Project
from slot_machine.detect.shell import BUILDS, RELEASES, Simple
from slot_machine.detect.words import word_set

STARTS = ("start:prod", "start:production", "start-prod", "prod", "start", "serve:prod", "serve")
RUNTIMES = word_set("node bun deno npm npx yarn pnpm python python3 ruby bundle sh bash java php")
"""Programs that a script finds without `node_modules/.bin` on its PATH."""
RUNNERS = {("npm", "run"), ("npm", "run-script"), ("yarn", "run"), ("pnpm", "run"), ("bun", "run")}
OWNERS = {
    "tsc": "typescript",
    "nest": "@nestjs/cli",
    "ng": "@angular/cli",
    "vue-cli-service": "@vue/cli-service",
    "react-router": "@react-router/dev",
    "react-router-serve": "@react-router/serve",
    "remix": "@remix-run/dev",
    "remix-serve": "@remix-run/serve",
    "sequelize": "sequelize-cli",
    "swc": "@swc/cli",
    "babel-node": "@babel/node",
    "medusa": "@medusajs/cli",
    "strapi": "@strapi/strapi",
}
"""The packages of programs that have another name than their package."""
GETTERS = {("npx",), ("bunx",), ("pnpm", "exec"), ("yarn", "exec"), ("npm", "exec")}
"""Run a program of a package, and may install it at that moment."""
PACKERS = ("pm2", "docker", "docker-compose", "forever", "heroku", "vercel", "firebase", "serverless")
"""They start the app elsewhere or in the background."""

DEVELOPMENT = "|".join(
    (
        "nodemon|ts-node-dev|tsnd|webpack-dev-server|parcel|storybook|concurrently|npm-run-all|run-p|wrangler|turbo",
        "vite(?! preview| build)|(nx|ng|webpack|ember|vue-cli-service|poi) serve|nx (run|dev|start)|nest start",
        "(react-scripts|craco|gatsby|docusaurus) start|gatsby develop|(astro|next)$",
        "(next|nuxt|nuxi|astro|remix|react-router|vitepress|vuepress|snowpack|netlify) (dev|develop|vite:dev)",
        r"(tsx|bun) watch|.*\s--(watch|hot)\b",
    )
)
"""How commands begin that watch sources or compile them at the start."""


class Steps(NamedTuple):
    """`start` is None if the script can't be taken apart. `script` is the name of the script that was taken."""

    script: str
    build: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    start: Simple | None = None

    @property
    def is_development(self) -> bool:
        return self.start is not None and is_development(self.start)


def is_development(command: Simple) -> bool:
    """Whether this serves developers: it watches, compiles or tells too much."""
    return re.match(rf"(?:{DEVELOPMENT})(?:\s|$)", " ".join((_base(command.program), *command.words[1:]))) is not None


def apart(package: Package) -> Steps | None:
    """The steps of the best start script. None if there is none at all."""
    names = [name for name in STARTS if name in package.scripts]
    found = [_steps(package.scripts, name) for name in names]
    usable = [steps for steps in found if steps.start is None or steps.start.program not in PACKERS]
    return next((steps for steps in usable if not steps.is_development), next(iter(usable), None))


def command(steps: Steps, package: Package, project: Project) -> str:
    """The start command: what the script does, with programs of packages found where they are."""
    if steps.start is None:
        return f'export PATH="$PWD/{package.bin}:$PATH"; {package.scripts[steps.script]}'
    words, needs_path = located(steps.start, package, project)
    line = " && ".join((*steps.before, words))
    if needs_path or any(not _runs_by_itself(before) for before in steps.before):
        return f'export PATH="$PWD/{package.bin}:$PATH"; {line}'
    return line


def of_line(line: str, package: Package, project: Project) -> str:
    """`line` of a Procfile: if it runs a script of the package, what that script does."""
    simple = shell.only(line)
    if simple is None:
        return line
    name = _inner(simple, package.scripts)
    if name:
        steps = _steps(package.scripts, name)
        if steps.start:
            steps = steps._replace(start=steps.start._replace(env=(*simple.env, *steps.start.env)))
        return command(steps, package, project)
    found, needs_path = located(simple, package, project)
    return line if needs_path else found


def located(simple: Simple, package: Package, project: Project) -> tuple[str, bool]:
    """The command with the path of its program, and whether it needs the PATH of `npm start` instead."""
    for getter in GETTERS:
        rest = simple.words[len(getter) :]
        if simple.words[: len(getter)] == getter and rest and _is_provided(rest[0], package, project):
            simple = simple._replace(words=rest)
            break
    if simple.program in RUNTIMES or "/" in simple.program or simple.program in shell.BUILTINS:
        return str(simple), False
    path = f"{package.bin}/{simple.program}"
    if not _is_provided(simple.program, package, project) or (package.where and not (project.folder / path).exists()):
        return str(simple), True
    return str(simple._replace(words=(path, *simple.words[1:]))), False


def gets_at_start(command: str) -> bool:
    """Whether a command may install something when it starts."""
    return any(f" {' '.join(getter)} " in f" {command} " for getter in GETTERS)


def _is_provided(program: str, package: Package, project: Project) -> bool:
    """Whether a program comes with the project's packages."""
    owner = OWNERS.get(program, program)
    return owner in package.dependencies or (project.folder / package.bin / program).exists()


def without_watcher(command: Simple) -> Simple | None:
    """`node server.js` for `nodemon server.js`."""
    if _base(command.program) == "nodemon" and command.words[-1].endswith((".js", ".cjs", ".mjs")):
        return command._replace(words=("node", command.words[-1]))
    return None


def _steps(scripts: Mapping[str, str], name: str) -> Steps:
    parts = _expanded(scripts, name, frozenset())
    if not parts:
        return Steps(name)
    *before, start = parts
    build = tuple(str(part) for part in before if BUILDS.search(str(part)) and not RELEASES.search(str(part)))
    release = tuple(str(part) for part in before if RELEASES.search(str(part)))
    rest = tuple(str(part) for part in before if str(part) not in build + release)
    return Steps(name, build, release, rest, start)


def _expanded(scripts: Mapping[str, str], name: str, seen: frozenset[str]) -> list[Simple]:
    """The simple commands of a script and of those that it runs. Empty if one of them is not simple."""
    if name in seen:
        return []
    found: list[Simple] = []
    for script in (f"pre{name}", name):
        if script not in scripts:
            continue
        parts = shell.chain(scripts[script])
        if not parts:
            return []
        for part in parts:
            inner = _inner(part, scripts)
            if inner and not BUILDS.search(inner):
                expanded = _expanded(scripts, inner, seen | {name})
                if not expanded:
                    return []
                found += [each._replace(env=(*_plain(part).env, *each.env)) for each in expanded]
            else:
                found.append(_plain(part))
    return found


def _inner(part: Simple, scripts: Mapping[str, str]) -> str:
    """The script that a command runs, empty if it runs none."""
    words = _plain(part).words
    if len(words) == 2 and words[0] in ("npm", "yarn", "pnpm") and words[1] in scripts:
        return words[1] if words[0] != "npm" or words[1] in ("start", "test") else ""
    if len(words) == 3 and words[:2] in RUNNERS and words[2] in scripts:
        return words[2]
    return ""


def _plain(part: Simple) -> Simple:
    """`A=b program` for `cross-env A=b program`."""
    words = part.words
    while words and _base(words[0]) in ("cross-env", "cross-env-shell", "exec", "env"):
        rest = words[1:]
        count = next((index for index, word in enumerate(rest) if not shell.ASSIGNMENT.match(word)), len(rest))
        part = Simple((*part.env, *rest[:count]), rest[count:])
        words = part.words
    return _without_env_file(part)


def _without_env_file(part: Simple) -> Simple:
    """Without what reads an env file: slot-machine passes the variables, and a slot has no file that git ignores."""
    words = part.words
    if words and _base(words[0]) in ("dotenv", "dotenvx") and "--" in words:
        words = words[words.index("--") + 1 :]
    elif words and _base(words[0]) == "env-cmd":
        words = words[3:] if words[1:2] == ("-f",) else words[1:]
    return part._replace(words=tuple(word for word in words if not word.startswith("--env-file=")))


def _base(program: str) -> str:
    return program.rsplit("/", 1)[-1]


def _runs_by_itself(command: str) -> bool:
    simple = shell.only(command)
    return simple is not None and (simple.program in RUNTIMES | shell.BUILTINS or "/" in simple.program)
