"""Django: manage.py, its settings, and what these lead to."""

from pathlib import Path

import pytest

from tests.detect.given import Files, proposed

MANAGE = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', '%s')"
WSGI = "application = get_wsgi_application()\n" + MANAGE
ASGI = "application = get_asgi_application()\n" + MANAGE
SETTINGS = "INSTALLED_APPS = ['django.contrib.staticfiles']\n"
SECRET = SETTINGS + "SECRET_KEY = 'x'\n"
ROOT = "STATIC_ROOT = BASE_DIR / 'static'\n"


def site(settings: str = SETTINGS, **more: str) -> Files:
    files = {
        "manage.py": MANAGE % "site.settings",
        "site/settings.py": settings,
        "site/wsgi.py": WSGI % "site.settings",
        "requirements.txt": "django\ngunicorn",
    }
    return {name: text for name, text in (files | more).items() if text}


@pytest.mark.parametrize(
    "manage",
    [
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site.settings')",
        'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site.settings")',
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'site.settings'",
        "os.environ.setdefault(\n    'DJANGO_SETTINGS_MODULE',\n    'site.settings',\n)",
        "module = 'site.production' if HOSTED else 'site.settings'\nenviron.setdefault('DJANGO_SETTINGS_MODULE', module)",
    ],
)
def test_manage_py_in_any_form(tmp_path: Path, manage: str) -> None:
    found = proposed(tmp_path, site(SECRET + ROOT, **{"manage.py": manage})).version

    assert found.start_command == ".venv/bin/gunicorn site.wsgi --bind 127.0.0.1:$PORT"
    assert found.build_command == ".venv/bin/python manage.py collectstatic --noinput"
    assert found.release_command == ".venv/bin/python manage.py migrate --noinput"


@pytest.mark.parametrize(
    ("server", "start"),
    [
        ("uvicorn", ".venv/bin/uvicorn site.asgi:application --host 127.0.0.1 --port $PORT"),
        ("daphne", ".venv/bin/daphne -b 127.0.0.1 -p $PORT site.asgi:application"),
        ("hypercorn", ".venv/bin/hypercorn site.asgi:application --bind 127.0.0.1:$PORT"),
    ],
)
def test_asgi_only(tmp_path: Path, server: str, start: str) -> None:
    files = site(
        **{"site/wsgi.py": "", "site/asgi.py": ASGI % "site.settings", "requirements.txt": f"django\n{server}"}
    )

    assert proposed(tmp_path, files).version.start_command == start


def test_settings_of_the_server_are_those_of_all_commands(tmp_path: Path) -> None:
    files: Files = {
        "manage.py": MANAGE % "conf.settings.dev",
        "conf/settings/base.py": SECRET + ROOT,
        "conf/settings/dev.py": "from .base import *",
        "conf/settings/prod.py": "from .base import *\nALLOWED_HOSTS = ['.example.com']",
        "conf/wsgi.py": WSGI % "conf.settings.prod",
        "requirements.txt": "django\ngunicorn",
    }

    found = proposed(tmp_path, files).version

    assert found.release_command == (
        "DJANGO_SETTINGS_MODULE=conf.settings.prod .venv/bin/python manage.py migrate --noinput"
    )
    assert found.health_host == "example.com"


def test_project_in_a_subfolder(tmp_path: Path) -> None:
    files: Files = {
        "src/manage.py": MANAGE % "site.settings",
        "src/site/settings.py": "MEDIA_ROOT = os.path.join(BASE_DIR, 'media')",
        "src/site/wsgi.py": WSGI % "site.settings",
        "requirements.txt": "django\ngunicorn",
    }

    found = proposed(tmp_path, files).version

    assert found.start_command == "cd src && ../.venv/bin/gunicorn site.wsgi --bind 127.0.0.1:$PORT"
    assert found.release_command == "cd src && ../.venv/bin/python manage.py migrate --noinput"
    assert found.shared_dirs == ("src/media",)


def test_several_projects_are_listed(tmp_path: Path) -> None:
    files: Files = {
        "blog/manage.py": MANAGE % "site.settings",
        "shop/manage.py": MANAGE % "site.settings",
        "requirements.txt": "django",
    }

    look = proposed(tmp_path, files).look

    assert "several Django projects: blog/manage.py, shop/manage.py. The first one was taken" in look


@pytest.mark.parametrize(
    ("settings", "env", "said"),
    [
        (SECRET, "", "the settings have no STATIC_ROOT"),
        (SECRET + "if not DEBUG:\n    " + ROOT, "", "the settings set STATIC_ROOT under a condition"),
        (SETTINGS + ROOT, "", "the settings have no SECRET_KEY"),
        (SETTINGS + ROOT + "SECRET_KEY = os.environ['DJANGO_KEY']", "", "DJANGO_KEY is not set"),
        (SETTINGS + ROOT + "SECRET_KEY = os.environ['DJANGO_KEY']", "DJANGO_KEY=x", ""),
        (SETTINGS + ROOT + "SECRET_KEY = os.environ.get('DJANGO_KEY', 'x')", "", ""),
        (SECRET + ROOT, "", ""),
    ],
)
def test_collectstatic_only_where_it_can_run(tmp_path: Path, settings: str, env: str, said: str) -> None:
    found = proposed(tmp_path, site(settings, **{".env": env}))

    assert bool(found.version.build_command) is not bool(said)
    assert [line for line in found.look if said in line and "no collectstatic" in line] or not said


@pytest.mark.parametrize(
    ("urls", "endpoint"),
    [
        ("urlpatterns = [path('admin/', admin.site.urls)]", "/admin/login/"),
        ("'''Add to urlpatterns:  path('', home)'''\nurlpatterns = [path('admin/', admin.site.urls)]", "/admin/login/"),
        ("urlpatterns = [path('admin/', admin.site.urls), path('', home)]", "/"),
        ("urlpatterns = [path('health/', health)]", "/health/"),
        ("urlpatterns = [url(r'^admin/', admin.site.urls), url(r'^api/', api)]", "/admin/login/"),
        ("urlpatterns = [url(r'^admin/', admin.site.urls), url(r'^$', home)]", "/"),
    ],
)
def test_health(tmp_path: Path, urls: str, endpoint: str) -> None:
    files = site(
        "ROOT_URLCONF = 'site.urls'\n", **{"site/urls.py": urls, "blog/urls.py": "urlpatterns = [path('', f)]"}
    )

    assert proposed(tmp_path, files).version.health_endpoint == endpoint


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        ("[]", ""),
        ("['*']", ""),
        ("['www.example.com', 'localhost']", "www.example.com"),
        ("['127.0.0.1', 'a.com']", ""),
        ("[\n    '.example.com',\n]", "example.com"),
        ("os.getenv('HOSTS', urlsplit(ROOT).hostname).split(',')", "localhost"),
        ("env.list('HOSTS', default=['*'])", ""),
    ],
)
def test_host_of_health_checks(tmp_path: Path, hosts: str, host: str) -> None:
    assert proposed(tmp_path, site(f"ALLOWED_HOSTS = {hosts}\n")).version.health_host == host


@pytest.mark.parametrize(
    ("name", "dirs", "files"),
    [
        ("BASE_DIR / 'db.sqlite3'", (), ("db.sqlite3",)),
        ("BASE_DIR / 'data' / 'db.sqlite3'", ("data",), ()),
        ("os.path.join(BASE_DIR, 'var', 'x.db')", ("var",), ()),
        ("str(BASE_DIR / 'db.sqlite3')", (), ("db.sqlite3",)),
        ("'/srv/db.sqlite3'", (), ()),
        ("'site'", (), ()),
    ],
)
def test_database(tmp_path: Path, name: str, dirs: tuple[str, ...], files: tuple[str, ...]) -> None:
    found = proposed(tmp_path, site(f"DATABASES = {{'default': {{'NAME': {name}}}}}\n")).version

    assert (found.shared_dirs, found.shared_files) == (dirs, files)


def test_queue_of_django(tmp_path: Path) -> None:
    found = proposed(tmp_path, site(**{"requirements.txt": "django\ngunicorn\ndjango-rq"})).version

    assert found.processes == {"worker": ".venv/bin/python manage.py rqworker default"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql'}}", "postgresql"),
        ("DATABASES = {'default': dj_database_url.config(default='mysql://x')}", "mysql"),
        ("DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'x'}}", ""),
    ],
)
def test_database_server_is_said(tmp_path: Path, settings: str, said: str) -> None:
    look = proposed(tmp_path, site(settings)).look

    assert bool([line for line in look if f"the settings use {said}: see that it runs" in line]) is bool(said)
