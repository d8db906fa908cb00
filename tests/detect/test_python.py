"""Projects of Python, and the file that is proposed for each."""

from pathlib import Path

import pytest

from tests.detect.given import Files, fields, package, proposed

MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "%s")\n'
WSGI = "get_wsgi_application\n" + MANAGE
SETTINGS = """from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = 'x'
DEBUG = True
ALLOWED_HOSTS = []
INSTALLED_APPS = ['django.contrib.admin','django.contrib.staticfiles']
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3'}}
STATIC_URL = 'static/'
"""

CASES: dict[str, tuple[Files, dict[str, object], tuple[str, ...]]] = {
    "django": (
        {
            "manage.py": MANAGE % "mysite.settings",
            "mysite/settings.py": SETTINGS,
            "mysite/wsgi.py": WSGI % "mysite.settings",
            "mysite/asgi.py": "get_asgi_application",
            "mysite/urls.py": "urlpatterns=[path('admin/', admin.site.urls)]",
            "requirements.txt": "Django==5\n",
        },
        {
            "start_command": ".venv/bin/python manage.py runserver --noreload 127.0.0.1:$PORT",
            "setup_command": "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            "release_command": ".venv/bin/python manage.py migrate --noinput",
            "health_endpoint": "/admin/login/",
            "health_status": "200-399",
            "shared_files": ("db.sqlite3",),
        },
        (
            "start_command is Django's development server, as no other is a dependency: add gunicorn, then run init again",
            "build_command has no collectstatic, as the settings have no STATIC_ROOT",
        ),
    ),
    "django-full": (
        {
            "manage.py": MANAGE % "config.settings.local",
            "config/settings/base.py": SETTINGS
            + "MEDIA_ROOT = BASE_DIR / 'media'\nSTATIC_ROOT = BASE_DIR / 'staticfiles'\nSTORAGES='ManifestStaticFilesStorage'",
            "config/settings/production.py": "from .base import *\nALLOWED_HOSTS = ['example.com']",
            "config/wsgi.py": WSGI % "config.settings.production",
            "config/celery.py": "app = Celery('config')\nbeat_schedule={}",
            "pyproject.toml": "[project]\nname='x'\ndependencies=['django','gunicorn','celery']",
            "uv.lock": "",
            "package.json": package({"build": "vite build", "dev": "vite"}, ("vite",)),
            "package-lock.json": "{}",
        },
        {
            "start_command": ".venv/bin/gunicorn config.wsgi --bind 127.0.0.1:$PORT",
            "setup_command": "uv sync --frozen && npm ci --include=dev",
            "build_command": "npm run build && DJANGO_SETTINGS_MODULE=config.settings.production .venv/bin/python manage.py collectstatic --noinput",
            "release_command": "DJANGO_SETTINGS_MODULE=config.settings.production .venv/bin/python manage.py migrate --noinput",
            "processes": {
                "worker": ".venv/bin/celery -A config worker",
                "beat": {
                    "command": '.venv/bin/celery -A config beat --pidfile= -s "$SLOT_MACHINE_SHARED/celerybeat-schedule"',
                    "singleton": True,
                },
            },
            "health_endpoint": "/",
            "health_status": "200-399",
            "health_host": "example.com",
            "shared_dirs": ("media",),
            "shared_files": ("db.sqlite3",),
            "asset_dirs": ("staticfiles",),
        },
        (),
    ),
    "flask": (
        {
            "app.py": "from flask import Flask\napp = Flask(__name__)\n",
            "requirements.txt": "flask==3.1\ngunicorn==23\n",
        },
        {
            "start_command": ".venv/bin/gunicorn app:app --bind 127.0.0.1:$PORT",
            "setup_command": "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (),
    ),
    "flask-factory": (
        {
            "flaskr/__init__.py": "from flask import Flask\ndef create_app(t=None):\n    app = Flask(__name__, instance_relative_config=True)\n",
            "pyproject.toml": "[project]\nname='flaskr'\ndependencies=['flask']\n[build-system]\nrequires=['flit_core']",
        },
        {
            "start_command": ".venv/bin/flask --app flaskr:create_app run --host 127.0.0.1 --port $PORT",
            "setup_command": "python3 -m venv .venv && .venv/bin/pip install -e .",
            "health_endpoint": "/",
            "health_status": "200-399",
            "shared_dirs": ("instance",),
        },
        (
            "start_command is Flask's development server, as no other one is a dependency: add gunicorn, then run init again",
            "pyproject.toml fixes no versions: without a lock file, two deploys may install other ones",
        ),
    ),
    "fastapi": (
        {
            "app/main.py": "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/items')\ndef x(): ...",
            "poetry.lock": "",
            "pyproject.toml": "[tool.poetry.dependencies]\nfastapi='*'\nuvicorn='*'",
            "alembic.ini": "",
        },
        {
            "start_command": ".venv/bin/uvicorn app.main:app --host 127.0.0.1 --port $PORT",
            "setup_command": "POETRY_VIRTUALENVS_CREATE=1 POETRY_VIRTUALENVS_IN_PROJECT=1 poetry install --no-interaction --no-root",
            "release_command": ".venv/bin/alembic upgrade head",
            "health_endpoint": "/docs",
            "health_status": "200-399",
        },
        (),
    ),
    "procfile": (
        {
            "Procfile": "web: gunicorn app:app\nworker: celery -A tasks worker\nbeat: celery -A tasks beat\nrelease: python migrate.py\n",
            "requirements.txt": "flask==3.1\ngunicorn==23\ncelery==5",
            "app.py": "app = Flask(__name__)",
        },
        {
            "start_command": ".venv/bin/gunicorn app:app",
            "setup_command": "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
            "release_command": ".venv/bin/python migrate.py",
            "processes": {
                "worker": ".venv/bin/celery -A tasks worker",
                "beat": {
                    "command": '.venv/bin/celery -A tasks beat --pidfile= -s "$SLOT_MACHINE_SHARED/celerybeat-schedule"',
                    "singleton": True,
                },
            },
            "health_endpoint": "/",
            "health_status": "200-399",
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
