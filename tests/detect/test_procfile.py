"""Procfile: names, schedulers, and where programs are found."""

from pathlib import Path

import pytest

from slot_machine.core.version_config import Process
from slot_machine.detect.workers import process
from tests.detect.given import Files, package, proposed

BEAT = 'celery -A x beat --pidfile= -s "$SLOT_MACHINE_SHARED/celerybeat-schedule"'


@pytest.mark.parametrize(
    ("name", "command", "expected"),
    [
        ("worker", "celery -A x worker", "celery -A x worker"),
        ("beat", "celery -A x beat", Process(command=BEAT, singleton=True)),
        ("b", "celery -A x beat --pidfile=", Process(command=BEAT, singleton=True)),
        (
            "beat",
            "celery -A x beat --pidfile= -S db:Scheduler",
            Process(command="celery -A x beat --pidfile= -S db:Scheduler", singleton=True),
        ),
        ("both", "celery -A x worker -B", Process(command="celery -A x worker -B", singleton=True)),
        ("clock", "node clock.js", Process(command="node clock.js", singleton=True)),
        ("scheduler", "rake x", Process(command="rake x", singleton=True)),
        ("worker", "bundle exec sidekiq", Process(command="bundle exec sidekiq", quiet_signal="TSTP")),
        (
            "worker",
            "bundle exec sidekiq -t 120",
            Process(command="bundle exec sidekiq -t 120", quiet_signal="TSTP", stop_timeout_ms=125_000),
        ),
    ],
)
def test_process(name: str, command: str, expected: str | Process) -> None:
    assert process(name, command) == expected


def test_names_and_programs(tmp_path: Path) -> None:
    files: Files = {
        "Procfile": (
            "# comment\nweb: python manage.py runserver 0.0.0.0:8000\nWorker: rq worker\n1st: x\n"
            "release: cd x && alembic upgrade head\n"
        ),
        "requirements.txt": "rq",
    }

    found = proposed(tmp_path, files)

    assert found.version.start_command == ".venv/bin/python manage.py runserver 0.0.0.0:8000"
    assert found.version.release_command == 'export PATH="$PWD/.venv/bin:$PATH"; cd x && alembic upgrade head'
    assert found.version.processes == {"worker": ".venv/bin/rq worker"}
    assert "Procfile: 1st is not taken, as names begin with a letter" in found.look
    assert "the Procfile starts Django's development server" in found.look


@pytest.mark.parametrize(
    ("web", "start"),
    [
        ("npm start", "NODE_ENV=production node dist/app.js"),
        ("npm run serve", "node_modules/.bin/tsx app.ts"),
        ("node dist/app.js", "node dist/app.js"),
        ("npx tsx app.ts", "node_modules/.bin/tsx app.ts"),
        ("A=1 yarn start", "A=1 NODE_ENV=production node dist/app.js"),
    ],
)
def test_scripts_of_a_package_are_taken_apart(tmp_path: Path, web: str, start: str) -> None:
    scripts = {"start": "cross-env NODE_ENV=production node dist/app.js", "serve": "tsx app.ts"}

    found = proposed(tmp_path, {"Procfile": f"web: {web}\n", "package.json": package(scripts, ["tsx"])})

    assert found.version.start_command == start


@pytest.mark.parametrize(
    ("web", "build", "release", "start"),
    [
        (
            "flask db upgrade; flask translate compile; gunicorn blog:app",
            'PATH="$PWD/.venv/bin:$PATH" flask translate compile',
            ".venv/bin/flask db upgrade",
            ".venv/bin/gunicorn blog:app",
        ),
        (
            "A=1 alembic upgrade head && uvicorn blog:app --port $PORT",
            "",
            "A=1 .venv/bin/alembic upgrade head",
            ".venv/bin/uvicorn blog:app --port $PORT",
        ),
        (
            "mkdir -p x; gunicorn blog:app",
            "",
            "",
            'export PATH="$PWD/.venv/bin:$PATH"; mkdir -p x; gunicorn blog:app',
        ),
    ],
)
def test_what_web_does_before_the_start_does_not_run_at_each_start(
    tmp_path: Path, web: str, build: str, release: str, start: str
) -> None:
    packages = "flask\ngunicorn\nalembic\nuvicorn\n"
    found = proposed(tmp_path, {"Procfile": f"web: {web}\n", "requirements.txt": packages}).version

    assert (found.build_command, found.release_command, found.start_command) == (build, release, start)


def test_web_of_django_with_its_own_release(tmp_path: Path) -> None:
    files: Files = {
        "Procfile": (
            "release: python manage.py check\n"
            "web: python manage.py migrate --no-input && python manage.py collectstatic --no-input && gunicorn x.wsgi\n"
        ),
        "requirements.txt": "django\ngunicorn\n",
        "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "x.settings")',
        "x/__init__.py": "",
        "x/wsgi.py": "",
        "x/settings.py": 'SECRET_KEY = "x"\nSTATIC_ROOT = "static"\nINSTALLED_APPS = ["django.contrib.staticfiles"]\n',
    }

    found = proposed(tmp_path, files).version

    assert found.build_command == ".venv/bin/python manage.py collectstatic --noinput"
    assert found.release_command == (
        'export PATH="$PWD/.venv/bin:$PATH"; python manage.py check && python manage.py migrate --no-input'
    )
    assert found.start_command == ".venv/bin/gunicorn x.wsgi"


def test_program_of_go(tmp_path: Path) -> None:
    files: Files = {
        "Procfile": "web: hello",
        "go.mod": "module github.com/x/hello/v2\n\ngo 1.22\n",
        "main.go": 'package main\n\nfunc main() { os.Getenv("PORT") }\n',
    }

    found = proposed(tmp_path, files).version

    assert (found.build_command, found.start_command) == ("go build -o bin/hello .", "bin/hello")


@pytest.mark.parametrize(
    ("flag", "start"),
    [
        ('flag.String("addr", ":8080", "x")', "bin/x -addr 127.0.0.1:$PORT"),
        ('flag.IntVar(&port, "port", 8080, "x")', "bin/x -port $PORT"),
    ],
)
def test_port_of_a_go_program_by_flag(tmp_path: Path, flag: str, start: str) -> None:
    files: Files = {"go.mod": "module x\n", "main.go": f"package main\n\nfunc main() {{ {flag} }}\n"}

    assert proposed(tmp_path, files).version.start_command == start


def test_packages_for_developers_are_not_installed_beside_a_back_end(tmp_path: Path) -> None:
    files: Files = {
        "Procfile": "web: uwsgi etc/uwsgi.ini\n",
        "manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')",
        "requirements.txt": "django\nuwsgi",
        "package.json": package({"lint": "prettier ."}, ["prettier"]),
        "package-lock.json": "{}",
    }

    found = proposed(tmp_path, files)

    assert found.version.start_command == 'VIRTUAL_ENV="$PWD/.venv" .venv/bin/uwsgi etc/uwsgi.ini'
    assert found.version.setup_command == "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    assert "the packages of package.json are not installed, as it neither starts nor builds anything" in found.look
    assert not [line for line in found.look if "development server" in line]
    assert found.outside


def test_rails_runs_in_production(tmp_path: Path) -> None:
    files: Files = {
        "Procfile": "web: bundle exec puma -C config/puma.rb\nworker: bundle exec sidekiq\nrelease: RAILS_ENV=x rake y\n",
        "Gemfile.lock": "GEM\n  specs:\n    railties (7.1.0)\n",
    }

    found = proposed(tmp_path, files).version

    production = "RAILS_ENV=production RAILS_LOG_TO_STDOUT=1"
    assert found.start_command == f"{production} bundle exec puma -C config/puma.rb"
    assert found.workers["worker"].command == f"{production} bundle exec sidekiq"
    assert found.release_command == "RAILS_ENV=x rake y"
