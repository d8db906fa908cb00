"""Python apps that are an object in a module: where it is found, and which server runs it."""

from pathlib import Path

import pytest

from tests.detect.given import Files, proposed

AT = "--host 127.0.0.1 --port $PORT"


@pytest.mark.parametrize(
    ("files", "start"),
    [
        (
            {"app.py": "app = Flask(__name__)", "wsgi.py": "from app import app\napplication = Flask('x')"},
            "wsgi:application",
        ),
        ({"shop/__init__.py": "def create_app():\n    return Flask('shop')\n"}, "'shop:create_app()'"),
        ({"src/shop/app.py": "app = Flask('shop')"}, "shop.app:app"),
        ({"shop/web.py": "from flask import Flask\napp = make_app()"}, "shop.web:app"),
    ],
)
def test_flask(tmp_path: Path, files: Files, start: str) -> None:
    found = proposed(tmp_path, {"requirements.txt": "flask==3.1\ngunicorn==23", **files}).version

    assert found.start_command == f".venv/bin/gunicorn {start} --bind 127.0.0.1:$PORT"


@pytest.mark.parametrize(
    ("source", "server", "start"),
    [
        ("app = FastAPI()", "uvicorn", f"uvicorn main:app {AT}"),
        ("def create_app() -> FastAPI: ...", "uvicorn", f"uvicorn main:create_app --factory {AT}"),
        ("from fastapi import FastAPI\napp = get_application()", "uvicorn", f"uvicorn main:app {AT}"),
        ("api: FastAPI = fastapi.FastAPI()", "hypercorn", "hypercorn main:api --bind 127.0.0.1:$PORT"),
    ],
)
def test_fastapi(tmp_path: Path, source: str, server: str, start: str) -> None:
    files: Files = {"main.py": source, "requirements.txt": f"fastapi==0.115\n{server}==1"}

    assert proposed(tmp_path, files).version.start_command == f".venv/bin/{start}"


@pytest.mark.parametrize(
    ("source", "endpoint"),
    [
        ("app = FastAPI()\n@app.get('/')\n", "/"),
        ("app = FastAPI()\n@router.get('/')\n", "/docs"),
        ("app = FastAPI()\n@app.get('/health')\n", "/health"),
    ],
)
def test_health_of_fastapi(tmp_path: Path, source: str, endpoint: str) -> None:
    files: Files = {"main.py": source, "requirements.txt": "fastapi==0.115\nuvicorn==1"}

    assert proposed(tmp_path, files).version.health_endpoint == endpoint


def test_command_that_makes_the_database_is_said(tmp_path: Path) -> None:
    files: Files = {"app.py": "app = Flask('x')\n@click.command('init-db')\n", "requirements.txt": "flask==3.1"}

    assert [line for line in proposed(tmp_path, files).look if line.startswith("app.py has the command init-db")]


def test_name_of_the_project_is_not_taken_for_its_module(tmp_path: Path) -> None:
    files: Files = {
        "pyproject.toml": "[project]\nname = 'my-shop'\ndependencies = ['flask', 'gunicorn']\n",
        "shop/app.py": "app = Flask(__name__)",
    }

    assert ".venv/bin/gunicorn shop.app:app" in proposed(tmp_path, files).version.start_command
