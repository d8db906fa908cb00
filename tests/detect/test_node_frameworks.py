"""Frameworks of Node, and the file that is proposed for each."""

from pathlib import Path

import pytest

from tests.detect.given import Files, fields, package, proposed

CASES: dict[str, tuple[Files, dict[str, object], tuple[str, ...]]] = {
    "next": (
        {
            "package.json": package({"dev": "next dev", "build": "next build", "start": "next start"}, ("next",)),
            "package-lock.json": "{}",
            "app/page.js": "x",
        },
        {
            "start_command": "node_modules/.bin/next start -p $PORT",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
            "asset_dirs": (".next/static",),
        },
        (),
    ),
    "next-standalone-pnpm": (
        {
            "package.json": package({"build": "next build", "start": "next start"}, ("next",)),
            "pnpm-lock.yaml": "lockfileVersion: '9.0'",
            "next.config.mjs": "export default { output: 'standalone' }",
            "public/a.txt": "",
            "app/api/health/route.ts": "x",
        },
        {
            "start_command": "HOSTNAME=127.0.0.1 node .next/standalone/server.js",
            "setup_command": "pnpm install --frozen-lockfile --prod=false",
            "build_command": "pnpm run build && cp -r public .next/standalone/ && cp -r .next/static .next/standalone/.next/",
            "health_endpoint": "/api/health",
            "asset_dirs": (".next/standalone/.next/static",),
        },
        (),
    ),
    "nuxt": (
        {
            "package.json": package({"build": "nuxt build", "preview": "nuxt preview"}, ("nuxt",)),
            "package-lock.json": "{}",
            "app.vue": "x",
        },
        {
            "start_command": "HOST=127.0.0.1 node .output/server/index.mjs",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
            "asset_dirs": (".output/public/_nuxt",),
        },
        (),
    ),
    "svelte-auto": (
        {
            "package.json": package({"build": "vite build"}, ("@sveltejs/kit", "@sveltejs/adapter-auto", "vite")),
            "package-lock.json": "{}",
            "svelte.config.js": "import adapter from '@sveltejs/adapter-auto';",
        },
        {
            "start_command": "node_modules/.bin/vite preview --host 127.0.0.1 --port $PORT --strictPort",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (
            "SvelteKit's adapter-auto makes no server for this machine: start_command is the preview. Install @sveltejs/adapter-node, then run init again",
        ),
    ),
    "svelte-node": (
        {
            "package.json": package({"build": "vite build"}, ("@sveltejs/kit", "@sveltejs/adapter-node", "vite")),
            "package-lock.json": "{}",
            "svelte.config.js": "import adapter from '@sveltejs/adapter-node';",
        },
        {
            "start_command": "HOST=127.0.0.1 node build",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
            "asset_dirs": ("build/client/_app/immutable",),
        },
        (),
    ),
    "astro": (
        {
            "package.json": package({"build": "astro build", "start": "astro dev"}, ("astro",)),
            "package-lock.json": "{}",
        },
        {
            "start_command": "python3 -m http.server --bind 127.0.0.1 --directory dist $PORT",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
            "asset_dirs": ("dist/assets",),
        },
        (
            "the app is made of files only, in dist: start_command serves them with Python's server. It lists folders that have no index.html, and has no fallback for paths that only the browser knows. Put another file server there if you need more",
        ),
    ),
    "nest": (
        {
            "package.json": package(
                {
                    "build": "nest build",
                    "start": "nest start",
                    "start:dev": "nest start --watch",
                    "start:prod": "node dist/main",
                },
                ("@nestjs/core",),
            ),
            "package-lock.json": "{}",
            "src/main.ts": "app.listen(process.env.PORT ?? 3000)",
        },
        {
            "start_command": "node dist/main",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (),
    ),
    "remix": (
        {
            "package.json": package(
                {"build": "react-router build", "start": "react-router-serve ./build/server/index.js"},
                ("@react-router/serve", "@react-router/node", "vite"),
            ),
            "package-lock.json": "{}",
        },
        {
            "start_command": "node_modules/.bin/react-router-serve ./build/server/index.js",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
            "asset_dirs": ("build/client/assets",),
        },
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_proposed(tmp_path: Path, name: str) -> None:
    files, expected, look = CASES[name]

    found = proposed(tmp_path, files)

    assert fields(found) == expected
    assert found.look == look


def test_site_with_a_server_of_its_own_is_not_served_as_files(tmp_path: Path) -> None:
    scripts = {"build": "vite build", "start": "node server.js"}
    server = "app.get('/health', f); sirv('dist'); listen(process.env.PORT)"
    files: Files = {"package.json": package(scripts, ("vite", "sirv")), "index.html": "x", "server.js": server}

    found = proposed(tmp_path, files)

    assert [each.what for each in found.recognised] == ["npm", "vite"]
    assert (found.version.start_command, found.version.health_endpoint) == ("node server.js", "/health")
    assert found.version.asset_dirs == ("dist/assets",)
