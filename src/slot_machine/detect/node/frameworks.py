"""Frameworks of Node: how each one is started after its build."""

import re
from collections.abc import Callable
from typing import NamedTuple

from slot_machine.detect.node.package import Package
from slot_machine.detect.project import Project, table
from slot_machine.detect.words import word_set

SERVE = "python3 -m http.server --bind 127.0.0.1 --directory {folder} $PORT"
STATIC_REMARK = (
    "the app is made of files only, in {folder}: start_command serves them with Python's server. It lists folders that"
    " have no index.html, and has no fallback for paths that only the browser knows. Put another file server there"
    " if you need more"
)
FIND_SERVER = "$(find .next/standalone -name server.js -not -path '*/node_modules/*' | head -n 1)"

SITES = {
    "react-scripts": "build",
    "gatsby": "public",
    "@docusaurus/core": "build",
    "vitepress": ".vitepress/dist",
    "@11ty/eleventy": "_site",
    "@vue/cli-service": "dist",
    "parcel": "dist",
    "vite": "dist",
}
"""Makers of static sites, by package, with the folder that they write to."""
SERVERS = word_set(
    "express fastify koa @hapi/hapi hono @hono/node-server restify polka h3 @nestjs/core socket.io @adonisjs/core"
    " @feathersjs/feathers @strapi/strapi sails meteor @trpc/server apollo-server @apollo/server elysia ws"
    " @react-router/serve @remix-run/serve @react-router/node"
)


AS_FILES = ", as files"


class Framework(NamedTuple):
    """`programs`: its own command; a start script that calls another one is a server of the project's own.

    `build` follows the project's build. Nothing in `start` means that it can't be told. `own_port`: the framework reads
    no PORT, so the app has to.
    """

    name: str
    start: str
    programs: tuple[str, ...] = ()
    build: str = ""
    default_build: str = ""
    asset_dirs: tuple[str, ...] = ()
    look: tuple[str, ...] = ()
    static: bool = False
    own_port: bool = False


def find(project: Project, package: Package) -> Framework | None:
    return next((found for detect in DETECTORS if (found := detect(project, package))), None)


def _next(project: Project, package: Package) -> Framework | None:
    if "next" not in package.dependencies:
        return None
    settings = project.text(project.first("next.config.js", "next.config.mjs", "next.config.ts", "next.config.cjs"))
    output = re.search(r"\boutput\s*:\s*['\"](\w+)['\"]", settings)
    build = f"{package.bin}/next build"
    if output and output[1] == "export":
        return _site("Next.js, exported as files", "out", ("next", "serve"), build)
    if output and output[1] == "standalone":
        return _next_standalone(project, package, build, nested="outputFileTracingRoot" in settings)
    return Framework("Next.js", f"{package.bin}/next start -p $PORT", ("next",), "", build, (".next/static",))


def _next_standalone(project: Project, package: Package, build: str, *, nested: bool) -> Framework:
    """Next.js copies neither `public` nor `.next/static` beside the server. In a workspace, that is in a subfolder."""
    if nested or package.where:
        server, folder = f'"{FIND_SERVER}"', f'"$(dirname "{FIND_SERVER}")"'
        assets = f".next/standalone/{project.root}/.next/static" if project.root else ".next/standalone/.next/static"
    else:
        server, folder = ".next/standalone/server.js", ".next/standalone"
        assets = ".next/standalone/.next/static"
    copies = f"cp -r .next/static {folder}/.next/"
    if any(name.startswith("public/") for name in project.files):
        copies = f"cp -r public {folder}/ && {copies}"
    start = f"HOSTNAME=127.0.0.1 node {server}"
    return Framework("Next.js, standalone", start, ("next", "node"), copies, build, (assets,))


def _nuxt(_project: Project, package: Package) -> Framework | None:
    if not {"nuxt", "nuxt-nightly"} & package.dependencies:
        return None
    build = f"{package.bin}/nuxt build"
    return Framework(
        "Nuxt", "HOST=127.0.0.1 node .output/server/index.mjs", ("nuxt", "nuxi"), "", build, (".output/public/_nuxt",)
    )


def _svelte_kit(project: Project, package: Package) -> Framework | None:
    if "@sveltejs/kit" not in package.dependencies:
        return None
    build = f"{package.bin}/vite build"
    settings = project.text(project.first("svelte.config.js", "svelte.config.ts", "vite.config.ts", "vite.config.js"))
    adapter = re.search(r"['\"]@sveltejs/adapter-([\w-]+)['\"]", settings)
    if adapter and adapter[1] == "node":
        assets = ("build/client/_app/immutable",)
        return Framework("SvelteKit", "HOST=127.0.0.1 node build", ("vite",), "", build, assets)
    if adapter and adapter[1] == "static":
        return _site(f"SvelteKit{AS_FILES}", "build", ("vite",), build)
    look = (
        f"SvelteKit's adapter-{adapter[1] if adapter else 'auto'} makes no server for this machine: start_command is"
        " the preview. Install @sveltejs/adapter-node, then run init again",
    )
    start = f"{package.bin}/vite preview --host 127.0.0.1 --port $PORT --strictPort"
    return Framework("SvelteKit", start, ("vite",), "", build, (), look)


def _astro(_project: Project, package: Package) -> Framework | None:
    if "astro" not in package.dependencies:
        return None
    build = f"{package.bin}/astro build"
    if "@astrojs/node" in package.dependencies:
        return Framework("Astro", "HOST=127.0.0.1 node dist/server/entry.mjs", ("astro",), "", build, ("dist/client",))
    return _site(f"Astro{AS_FILES}", "dist", ("astro", "vite"), build)


def _react_router(_project: Project, package: Package) -> Framework | None:
    serve = {"@react-router/serve": "react-router-serve", "@remix-run/serve": "remix-serve"}
    for name, program in serve.items():
        if name in package.dependencies:
            own = "React Router" if "router" in program else "Remix"
            start = f"{package.bin}/{program} ./build/server/index.js"
            return Framework(own, start, (program, "react-router", "remix"), asset_dirs=("build/client/assets",))
    return None


def _nest(_project: Project, package: Package) -> Framework | None:
    if "@nestjs/core" not in package.dependencies:
        return None
    return Framework("NestJS", "node dist/main", ("nest",), "", f"{package.bin}/nest build", own_port=True)


def _nx(project: Project, package: Package) -> Framework | None:
    if not {"nx", "@nrwl/cli"} & package.dependencies:
        return None
    build = table(project.json("project.json"), "targets", "build")
    folder = table(build, "options").get("outputPath")
    if not isinstance(folder, str) or not re.search(r"esbuild|webpack|:tsc|node", str(build.get("executor"))):
        return None
    up = "../" * len(project.parents) if project.root else ""
    return Framework("Nx", f"node {up}{folder}/main.js", ("nx",), "", f"{package.bin}/nx build", own_port=True)


def _angular(project: Project, package: Package) -> Framework | None:
    if "@angular/core" not in package.dependencies or "@nestjs/core" in package.dependencies:
        return None
    name = re.search(r'"projects"\s*:\s*\{\s*"([\w.-]+)"', project.text("angular.json"))
    if not name:
        return None
    build = f"{package.bin}/ng build"
    if "@angular/ssr" in package.dependencies:
        return Framework("Angular", f"node dist/{name[1]}/server/server.mjs", ("ng",), "", build)
    return _site(f"Angular{AS_FILES}", f"dist/{name[1]}/browser", ("ng",), build)


def _site_maker(project: Project, package: Package) -> Framework | None:
    if package.dependencies & SERVERS:
        return None
    for name, folder in SITES.items():
        if name in package.dependencies and ("build" in package.scripts or project.has("index.html")):
            return _site(f"{name}{AS_FILES}", folder, (*DEV_PROGRAMS, name), "")
    return None


DEV_PROGRAMS = ("vite", "react-scripts", "gatsby", "docusaurus", "vitepress", "eleventy", "vue-cli-service", "parcel")


def _site(name: str, folder: str, programs: tuple[str, ...], build: str) -> Framework:
    start = SERVE.format(folder=folder)
    look = (STATIC_REMARK.format(folder=folder),)
    return Framework(name, start, programs, "", build, _hashed(folder), look, static=True)


def _hashed(folder: str) -> tuple[str, ...]:
    within = {"dist": "/assets", "build": "/static", "out": "/_next/static"}.get(folder)
    return (folder + within,) if within else ()


DETECTORS: tuple[Callable[[Project, Package], Framework | None], ...] = (
    _next,
    _nuxt,
    _svelte_kit,
    _astro,
    _react_router,
    _nest,
    _nx,
    _angular,
    _site_maker,
)
