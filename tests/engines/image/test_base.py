"""On which image an app's is built, by its commands and files."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from slot_machine.core.errors import StageFailed
from slot_machine.core.version_config import VersionConfig
from slot_machine.detect.project import Project
from slot_machine.engines.image.base import Base, base_of

NODE_BESIDE = (
    ("node:24-slim", "/usr/local/bin/", "/usr/local/bin/"),
    ("node:24-slim", "/usr/local/lib/node_modules", "/usr/local/lib/node_modules"),
)


def base(folder: Path, files: Mapping[str, object], start: str, **commands: object) -> Base:
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return base_of(VersionConfig(start_command=start, **commands), Project(folder))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "start", "image"),
    [
        ({"package.json": {}}, "node server.js", "node:24-slim"),
        ({"package.json": {}, ".nvmrc": "v20.11.1\n"}, "npm start", "node:20.11.1-slim"),
        ({"package.json": {}, ".nvmrc": "lts/iron"}, "npm start", "node:20-slim"),
        ({"package.json": {}, ".nvmrc": "lts/*"}, "npm start", "node:24-slim"),
        ({"package.json": {"engines": {"node": ">=18.17"}}}, "node a.js", "node:24-slim"),
        ({"package.json": {"engines": {"node": "^18 || ^20"}}}, "node a.js", "node:20-slim"),
        ({"package.json": {}, ".tool-versions": "nodejs 18.1.0"}, "node a.js", "node:18.1.0-slim"),
        ({}, "node_modules/.bin/next start", "node:24-slim"),
        ({"bun.lock": "", "package.json": {"packageManager": "bun@1.2.3"}}, "bun run a.ts", "oven/bun:1.2.3-slim"),
        ({"deno.json": {}}, "deno task start", "denoland/deno:debian-2.5.6"),
        ({"requirements.txt": ""}, ".venv/bin/gunicorn a:a --bind 127.0.0.1:$PORT", "python:3.13-slim"),
        ({".python-version": "3.11.9"}, "exec .venv/bin/uvicorn a:a", "python:3.11.9-slim"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.9,<3.12"'}, "python a.py", "python:3.11-slim"),
        ({"Gemfile": 'ruby "3.2.2"'}, "bundle exec puma", "ruby:3.2.2-slim"),
        ({".ruby-version": "ruby-3.3.0"}, "RAILS_ENV=production bundle exec rails server", "ruby:3.3.0-slim"),
        ({"composer.json": {"require": {"php": "^8.2"}}}, "php artisan serve", "php:8.4-cli"),
        ({"go.mod": "module a\n\ngo 1.22.1\n"}, "bin/web", "golang:1.22"),
        ({"Cargo.toml": ""}, "target/release/web", "rust:1-slim"),
        ({"mix.exs": 'elixir: "~> 1.15"'}, "mix phx.server", "elixir:1.18-slim"),
        ({"pom.xml": "<java.version>17</java.version>"}, "java -jar target/a.jar", "eclipse-temurin:17-jdk"),
    ],
)  # fmt: skip
def test_the_official_image_of_the_runtime(tmp_path: Path, files: Mapping[str, object], start: str, image: str) -> None:
    assert base(tmp_path, files, start).image == image


def test_the_configuration_comes_first(tmp_path: Path) -> None:
    assert base(tmp_path, {"package.json": {}}, "node a.js", base_image="mine:1") == Base("mine:1")


def test_the_program_that_a_setup_names(tmp_path: Path) -> None:
    setup = "python3.12 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    assert base(tmp_path, {}, ".venv/bin/gunicorn a:a", setup_command=setup).image == "python:3.12-slim"


def test_tools_that_the_image_lacks(tmp_path: Path) -> None:
    found = base(tmp_path, {}, ".venv/bin/gunicorn a:a", setup_command="uv sync --frozen")
    assert found == Base("python:3.13-slim", ("pip install --no-cache-dir uv",))
    found = base(tmp_path, {}, "node a.js", setup_command="pnpm install")
    assert found == Base("node:24-slim", ("corepack enable",))
    found = base(tmp_path, {}, "php -S 127.0.0.1:$PORT", setup_command="composer install")
    assert found.copied == (("composer:2", "/usr/bin/composer", "/usr/bin/composer"),)
    found = base(tmp_path, {}, "java -jar a.jar", build_command="mvn package")
    assert found.image == "maven:3-eclipse-temurin-21"


def test_node_is_had_beside_another_runtime(tmp_path: Path) -> None:
    found = base(tmp_path, {"Gemfile": ""}, "bundle exec puma", build_command="npm run build")
    assert found == Base("ruby:3.4-slim", (), NODE_BESIDE)


def test_a_site_of_files_that_node_builds_and_python_serves(tmp_path: Path) -> None:
    start = "python3 -m http.server --bind 127.0.0.1 --directory dist $PORT"
    assert base(tmp_path, {"package.json": {}}, start, build_command="npm run build").image == "node:24"


def test_two_runtimes_that_no_image_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="build_command runs cargo, and the official image of Ruby has no Rust"):
        base(tmp_path, {}, "bundle exec puma", build_command="cargo build --release")


def test_nothing_recognised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="nothing in the commit says") as refused:
        base(tmp_path, {"start.sh": ""}, "./start.sh")
    assert "set base_image" in refused.value.hint
