"""Start scripts of a package, taken apart."""

from pathlib import Path

import pytest

from tests.detect.given import Files, package, proposed


@pytest.mark.parametrize(
    ("scripts", "dependencies", "start"),
    [
        ({"start": "node server.js"}, [], "node server.js"),
        ({"start": "NODE_ENV=production node ."}, [], "NODE_ENV=production node ."),
        ({"start": "cross-env NODE_ENV=production node ."}, [], "NODE_ENV=production node ."),
        ({"start": "npx tsx src/index.ts"}, ["tsx"], "node_modules/.bin/tsx src/index.ts"),
        ({"start": "node --env-file=.env a.js"}, [], "node a.js"),
        ({"start": "dotenv -e .env -- node a.js"}, [], "node a.js"),
        ({"start": "env-cmd -f .env node a.js"}, [], "node a.js"),
        ({"start": "npx serve dist"}, [], "npx serve dist"),
        ({"start": "serve dist"}, [], 'export PATH="$PWD/node_modules/.bin:$PATH"; serve dist'),
        (
            {"start": "remix-serve build"},
            ["@remix-run/serve", "express"],
            "node_modules/.bin/remix-serve ./build/server/index.js",
        ),
        ({"start": "npm run serve:app", "serve:app": "node app.js"}, [], "node app.js"),
        ({"start": "yarn server", "server": "A=1 node app.js"}, [], "A=1 node app.js"),
        ({"start": "mkdir -p tmp && node app.js"}, [], "mkdir -p tmp && node app.js"),
        ({"start": "next start | pino"}, [], 'export PATH="$PWD/node_modules/.bin:$PATH"; next start | pino'),
        ({"start": "nodemon server.js"}, [], "node server.js"),
        ({"start": "nest start", "start:prod": "node dist/main"}, ["@nestjs/core"], "node dist/main"),
        ({"start": "node a.js", "start:prod": "pm2 start a.js"}, [], "node a.js"),
        ({"start": "bun run server.ts"}, [], "bun run server.ts"),
        ({"start": "PORT=3000 node a.js"}, [], "node a.js"),
    ],
)
def test_start(tmp_path: Path, scripts: dict[str, str], dependencies: list[str], start: str) -> None:
    assert proposed(tmp_path, {"package.json": package(scripts, dependencies)}).version.start_command == start


@pytest.mark.parametrize(
    ("files", "start"),
    [
        ({"package.json": {"main": "lib/my app.js"}}, "node 'lib/my app.js'"),
        ({"package.json": {"main": "index.js"}, "server.js": ""}, "node server.js"),
        ({"package.json": {"main": "index.js"}, "index.js": "", "server.js": ""}, "node index.js"),
        ({"package.json": {"main": "index.ts"}, "bun.lock": ""}, "bun index.ts"),
        ({"package.json": {"scripts": [], "main": 3}}, ""),
    ],
)
def test_without_a_script(tmp_path: Path, files: Files, start: str) -> None:
    assert proposed(tmp_path, files).version.start_command == start


def test_steps_before_the_start_go_where_they_belong(tmp_path: Path) -> None:
    scripts = {"prestart": "tsc && knex migrate:latest", "start": "node dist/index.js"}

    found = proposed(tmp_path, {"package.json": package(scripts, ["knex", "typescript"])}).version

    assert found.start_command == "node dist/index.js"
    assert found.build_command == "node_modules/.bin/tsc"
    assert found.release_command == "node_modules/.bin/knex migrate:latest"


def test_prisma_generates_its_client_in_each_build(tmp_path: Path) -> None:
    files: Files = {
        "package.json": package({"start": "node a.js", "build": "tsc"}, ["prisma"]),
        "src/prisma/schema.prisma": "",
        "src/prisma/migrations/1/migration.sql": "",
    }

    found = proposed(tmp_path, files).version

    assert found.build_command == "node_modules/.bin/prisma generate && npm run build"
    assert found.release_command == "node_modules/.bin/prisma migrate deploy"


@pytest.mark.parametrize(
    "start",
    ["nx serve api", "vite", "next dev", "react-scripts start", "tsx watch src/a.ts", "node --watch a.js", "ng serve"],
)
def test_development_server_is_said(tmp_path: Path, start: str) -> None:
    found = proposed(tmp_path, {"package.json": package({"start": start}), "a.js": "PORT"})

    assert [line for line in found.look if "a development server" in line]


def test_development_server_in_a_script_of_the_project_is_said(tmp_path: Path) -> None:
    files: Files = {
        "package.json": package({"start": "npm run build && node scripts/start.js", "build": "node scripts/build.js"}),
        "scripts/start.js": "const concurrently = require('concurrently');",
    }

    assert [line for line in proposed(tmp_path, files).look if "a development server" in line]


def test_port_of_a_framework_that_leaves_it_to_the_app(tmp_path: Path) -> None:
    scripts = {"start": "nest start", "start:prod": "node dist/main"}
    files: Files = {"package.json": package(scripts, ["@nestjs/core"]), "src/main.ts": "await app.listen(3000);"}

    found = proposed(tmp_path, files)

    assert found.version.start_command == "node dist/main"
    assert [line for line in found.look if "mentions PORT" in line and "src/main.ts seems to listen on 3000" in line]


def test_port_that_no_source_mentions(tmp_path: Path) -> None:
    found = proposed(tmp_path, {"package.json": package({"start": "node a.js"}), "a.js": "app.listen(3000)"})

    assert [line for line in found.look if "mentions PORT" in line and "a.js seems to listen on 3000" in line]


def test_standalone_next_in_a_workspace_is_found_after_the_build(tmp_path: Path) -> None:
    files: Files = {
        "package-lock.json": "{}",
        "package.json": {"workspaces": {"packages": ["apps/*"]}},
        "apps/web/package.json": package({"build": "next build"}, ["next"]),
        "apps/web/next.config.js": "module.exports = { output: 'standalone' }",
        "apps/web/public/a.txt": "",
    }

    found = proposed(tmp_path, files, "apps/web").version

    find = "$(find .next/standalone -name server.js -not -path '*/node_modules/*' | head -n 1)"
    assert found.start_command == f'HOSTNAME=127.0.0.1 node "{find}"'
    assert found.build_command == (
        f'npm run build && cp -r public "$(dirname "{find}")"/ && cp -r .next/static "$(dirname "{find}")"/.next/'
    )
    assert found.asset_dirs == (".next/standalone/apps/web/.next/static",)


@pytest.mark.parametrize(
    ("files", "start"),
    [
        ({"tsconfig.json": '{"compilerOptions": {"outDir": "./dist"}}'}, "node dist/index.js"),
        ({"tsconfig.json": "{}"}, "node_modules/.bin/ts-node-dev src/index.ts"),
        (
            {
                "package.json": package({"start": "nx serve", "build": "nx build"}, ["nx"]),
                "project.json": {
                    "targets": {"build": {"executor": "@nx/esbuild:esbuild", "options": {"outputPath": "dist/api"}}}
                },
            },
            "node dist/api/main.js",
        ),
    ],
)
def test_what_the_build_makes_comes_before_a_development_server(tmp_path: Path, files: Files, start: str) -> None:
    own: Files = {
        "package.json": package({"start": "ts-node-dev src/index.ts", "build": "tsc"}, ["ts-node-dev"]),
        "src/index.ts": "PORT",
        **files,
    }

    assert proposed(tmp_path, own).version.start_command == start


def test_what_may_install_at_the_start_is_said(tmp_path: Path) -> None:
    found = proposed(tmp_path, {"package.json": package({"start": "npx serve dist"})})

    assert [line for line in found.look if "may install something at the start" in line]
