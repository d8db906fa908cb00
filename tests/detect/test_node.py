"""Projects of Node and Bun, and the file that is proposed for each."""

from pathlib import Path

import pytest

from tests.detect.given import Files, fields, package, proposed

CASES: dict[str, tuple[Files, dict[str, object], tuple[str, ...]]] = {
    "express": (
        {
            "package.json": package({"start": "node ./bin/www"}, ("express",)),
            "package-lock.json": "{}",
            "bin/www": "normalizePort(process.env.PORT)",
            "app.js": "app.use('/', index)",
        },
        {
            "start_command": "node ./bin/www",
            "setup_command": "npm ci",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (),
    ),
    "express3000": (
        {
            "package.json": package({"start": "nodemon index.js"}, ("express",)),
            "index.js": "app.listen(3000); app.get('/health', x)",
        },
        {"start_command": "node index.js", "setup_command": "npm install", "health_endpoint": "/health"},
        (
            "commit the lock file of npm: without it, two deploys may install other versions",
            "no source mentions PORT: the app has to listen on the port that this variable has, and index.js seems to listen on 3000",
        ),
    ),
    "prestart": (
        {
            "package.json": package(
                {
                    "prestart": "npm run build",
                    "build": "tsc",
                    "start": "cross-env NODE_ENV=production node dist/index.js",
                },
                ("express",),
            ),
            "yarn.lock": "# yarn lockfile v1",
            "src/index.ts": "process.env.PORT",
        },
        {
            "start_command": "NODE_ENV=production node dist/index.js",
            "setup_command": "yarn install --frozen-lockfile --production=false",
            "build_command": "yarn run build",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (),
    ),
    "chain": (
        {
            "package.json": package({"start": "prisma migrate deploy && next start -p 3000"}, ("next", "prisma")),
            "bun.lock": "{}",
            "x.js": "",
        },
        {
            "start_command": "node_modules/.bin/next start -p $PORT",
            "setup_command": "bun install --frozen-lockfile",
            "build_command": "node_modules/.bin/next build",
            "release_command": "node_modules/.bin/prisma migrate deploy",
            "health_endpoint": "/",
            "health_status": "200-399",
            "asset_dirs": (".next/static",),
        },
        (),
    ),
    "vite": (
        {
            "package.json": package({"build": "vite build", "dev": "vite"}, ("vite", "react")),
            "package-lock.json": "{}",
            "index.html": "",
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
    "two-locks": (
        {
            "package.json": package({"start": "node a.js"}, ()),
            "package-lock.json": "{}",
            "yarn.lock": "",
            "a.js": "PORT",
        },
        {"start_command": "node a.js", "health_endpoint": "/", "health_status": "200-399"},
        (
            "fill in setup_command: yarn.lock and package-lock.json are both there. Remove those that are not used, or set packageManager in package.json",
        ),
    ),
    "mono": (
        {
            "package.json": package({}, (), workspaces=["apps/*"]),
            "package-lock.json": "{}",
            "apps/web/package.json": package({"build": "next build", "start": "next start"}, ("next",)),
            "apps/web/app/page.js": "",
        },
        {
            "root": "apps/web",
            "start_command": "../../node_modules/.bin/next start -p $PORT",
            "setup_command": "cd ../.. && npm ci --include=dev",
            "build_command": "npm run build",
            "health_endpoint": "/",
            "health_status": "200-399",
            "asset_dirs": (".next/static",),
        },
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_proposed(tmp_path: Path, name: str) -> None:
    files, expected, look = CASES[name]

    found = proposed(tmp_path, files, "apps/web" if name == "mono" else "")

    assert fields(found) == expected
    assert found.look == look
