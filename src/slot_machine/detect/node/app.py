"""How an app with a `package.json` is installed, built and started."""

import re
import shlex
from typing import NamedTuple

from slot_machine.detect import shell
from slot_machine.detect.machine import Machine
from slot_machine.detect.node import frameworks, package, scripts
from slot_machine.detect.node.frameworks import Framework
from slot_machine.detect.node.package import Package
from slot_machine.detect.part import Part, Rank, Recognised, chained
from slot_machine.detect.project import Project
from slot_machine.detect.versions import mismatch

SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx")
ENTRIES = (
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "src/server.js",
    "src/index.js",
    "src/app.js",
    "server.mjs",
    "index.mjs",
    "src/index.mjs",
)
"""The first one is what npm runs where `scripts.start` is missing."""
WATCHERS = re.compile(
    r"(?:require\(|\bfrom\s*)['\"](?:browser-sync|concurrently|live-server|nodemon|webpack-dev-server)['\"]"
)
"""How a script of the project loads a development server."""


class Start(NamedTuple):
    command: str = ""
    rank: Rank = Rank.NONE
    guessed: tuple[str, ...] = ()
    look: tuple[str, ...] = ()
    reads_port: bool = False


def find(project: Project, machine: Machine) -> Part | None:
    """Raises Unreadable."""
    if not project.has("package.json"):
        return None
    packed = package.read(project)
    framework = frameworks.find(project, packed)
    steps = scripts.apart(packed)
    start = _start(project, packed, framework, steps)
    builds = _builds(project, packed, machine, framework, steps)
    recognised = [Recognised(packed.manager or "Node", packed.lock or "package.json")]
    runs_itself = framework is not None and start.command == framework.start
    if framework:
        name = framework.name if runs_itself else framework.name.removesuffix(frameworks.AS_FILES)
        recognised.append(Recognised(name, "package.json"))
    return Part(
        recognised=tuple(recognised),
        setup=package.install(packed, project, machine),
        build=chained(builds),
        release=chained(_releases(project, packed, steps)),
        start=start.command,
        rank=start.rank,
        health="/" if start.command and runs_itself else "",
        asset_dirs=framework.asset_dirs if framework else (),
        guessed=start.guessed,
        start_look=(*_getters(start), *start.look),
        look=(*package.remarks(packed, machine), *_versions(project, packed, machine)),
        reads_port=start.reads_port,
        looks_up=True,
    )


def _start(project: Project, packed: Package, framework: Framework | None, steps: scripts.Steps | None) -> Start:
    own = steps.start if steps else None
    if framework and framework.start and (own is None or steps is None or _is_its(framework, own, steps)):
        rank = Rank.STATIC if framework.static else Rank.SCRIPT
        return Start(framework.start, rank, (), framework.look, reads_port=_reads_port(project, framework))
    if steps is None:
        return _entry(project, packed)
    command = scripts.command(steps, packed, project)
    reads = "$PORT" in command or "${PORT" in command or _reads_port(project, framework)
    if own is None or not (steps.is_development or _watches(project, own)):
        return Start(command, Rank.SCRIPT, reads_port=reads)
    plain = scripts.without_watcher(own)
    if plain:
        said = f"scripts.{steps.script} runs {own.program}, which is for development: start_command leaves it out"
        return Start(str(plain), Rank.GUESS, (said,), reads_port=reads)
    if built := _built(project, packed, own):
        said = f"start_command is node {built}, what the build makes; scripts.{steps.script} is for development"
        return Start(f"node {built}", Rank.GUESS, (said,), reads_port=reads)
    said = f"start_command is scripts.{steps.script} ({own}), a development server: put another one there"
    return Start(command, Rank.GUESS, (), (said,), reads_port=reads)


def _built(project: Project, packed: Package, own: shell.Simple) -> str:
    """The file that the build makes of the one that a development server runs. Empty if it can't be told."""
    if "build" not in packed.scripts:
        return ""
    if re.match(r"(\./)?(dist|build|lib|out)/", packed.main):
        return packed.main
    folder = re.search(r'"outDir"\s*:\s*"(?:\./)?([\w-]+)/?"', project.text("tsconfig.json"))
    source = next((word for word in own.words if word.endswith(".ts") and project.has(word.removeprefix("./"))), "")
    if not folder or not source:
        return ""
    return f"{folder[1]}/{source.removeprefix('./').removeprefix('src/').removesuffix('.ts')}.js"


def _is_its(framework: Framework, own: shell.Simple, steps: scripts.Steps) -> bool:
    """Whether the script starts the framework itself, and not a server of the project's own."""
    if steps.is_development:
        return True
    words = [word.rsplit("/", 1)[-1] for word in own.words if word not in ("npx", "exec", "bunx", "pnpm", "yarn")]
    return bool(words) and words[0] in framework.programs and not (framework.static and words[0] == "node")


def _entry(project: Project, packed: Package) -> Start:
    runtime = "bun" if packed.manager == "bun" else "node"
    reads = _mentions_port(project)
    main = packed.main.removeprefix("./")
    built = "build" in packed.scripts
    if main and (project.has(main) or built or not project.first(*ENTRIES)):
        return Start(f"{runtime} {shlex.quote(packed.main)}", Rank.SCRIPT, reads_port=reads)
    if entry := project.first(*ENTRIES):
        said = f"start_command is {runtime} {entry}, as package.json has no start script"
        return Start(f"{runtime} {entry}", Rank.GUESS, (said,), reads_port=reads)
    return Start()


def _watches(project: Project, own: shell.Simple) -> bool:
    """Whether it runs a script of the project that begins a development server."""
    file = own.words[1].removeprefix("./") if own.program == "node" and len(own.words) == 2 else ""
    return bool(file) and WATCHERS.search(project.text(file)) is not None


def _reads_port(project: Project, framework: Framework | None) -> bool:
    return (framework is not None and not framework.own_port) or _mentions_port(project)


def _mentions_port(project: Project) -> bool:
    sources = list(project.sources(*SUFFIXES))
    return not sources or any("PORT" in text for _, text in sources)


def _builds(
    project: Project, packed: Package, machine: Machine, framework: Framework | None, steps: scripts.Steps | None
) -> list[str]:
    found = []
    if _prisma(project, packed) and "prisma generate" not in packed.scripts.get("build", ""):
        found.append(f"{packed.bin}/prisma generate")
    if "build" in packed.scripts and packed.manager:
        found.append(package.run(packed, project, machine, "build"))
    elif framework and framework.default_build:
        found.append(framework.default_build)
    elif steps:
        found += [_located(build, packed, project) for build in steps.build]
    if framework and framework.build and not _copies(packed):
        found.append(framework.build)
    return found


def _copies(packed: Package) -> bool:
    """Whether the build script puts the files of a standalone Next.js into place by itself."""
    return ".next/static" in packed.scripts.get("build", "") + packed.scripts.get("postbuild", "")


def _releases(project: Project, packed: Package, steps: scripts.Steps | None) -> list[str]:
    found = [_located(release, packed, project) for release in steps.release] if steps else []
    schema = _prisma(project, packed)
    migrations = f"{schema.removesuffix('schema.prisma')}migrations/"
    if not found and schema and any(name.startswith(migrations) for name in project.files):
        found.append(f"{packed.bin}/prisma migrate deploy")
    return found


def _prisma(project: Project, packed: Package) -> str:
    """The path of Prisma's schema, empty if the app has none."""
    return next(iter(project.matching(r"(?:.*/)?schema\.prisma")), "") if "prisma" in packed.dependencies else ""


def _located(command: str, packed: Package, project: Project) -> str:
    simple = shell.only(command)
    if simple is None:
        return command
    line, needs_path = scripts.located(simple, packed, project)
    return f'PATH="$PWD/{packed.bin}:$PATH" {line}' if needs_path else line


def _getters(start: Start) -> tuple[str, ...]:
    said = f"start_command may install something at the start: add the package of {start.command} to the dependencies"
    return (said,) if scripts.gets_at_start(start.command) else ()


def _versions(project: Project, packed: Package, machine: Machine) -> list[str]:
    if packed.manager == "bun" and not packed.engine:
        return []
    own = project.first(".nvmrc", ".node-version")
    wanted, file = (packed.engine, "package.json") if packed.engine else (project.text(own).strip(), own)
    said = mismatch(machine, "node", wanted, file or "package.json")
    return [said] if said else []
