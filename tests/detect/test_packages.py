"""Package managers: lock files of several, those in parent folders, and what this machine lacks."""

from pathlib import Path

import pytest

from slot_machine.core.setup.command import parse
from slot_machine.detect.project import Unreadable
from tests.detect.given import EVERYTHING, Files, package, proposed

PIP = "python3 -m venv .venv && .venv/bin/pip install"
START = package({"start": "node a.js"})
BUILT = package({"build": "tsc", "start": "node a.js"})


@pytest.mark.parametrize(
    ("files", "setup"),
    [
        ({"bun.lockb": ""}, "bun install --frozen-lockfile"),
        ({"package-lock.json": "{}"}, "npm ci"),
        ({"npm-shrinkwrap.json": "{}"}, "npm ci"),
        ({}, "npm install"),
        ({"pnpm-lock.yaml": ""}, "pnpm install --frozen-lockfile"),
        ({"yarn.lock": "# yarn lockfile v1"}, "yarn install --frozen-lockfile"),
        ({"yarn.lock": "__metadata:\n"}, "yarn install --immutable"),
        (
            {"yarn.lock": "__metadata:\n", ".yarnrc.yml": "yarnPath: .yarn/releases/yarn-4.1.0.cjs"},
            "node .yarn/releases/yarn-4.1.0.cjs install --immutable",
        ),
        ({"package-lock.json": "{}", "requirements.txt": ""}, f"{PIP} -r requirements.txt && npm ci"),
    ],
)
def test_setup_of_a_package(tmp_path: Path, files: Files, setup: str) -> None:
    assert proposed(tmp_path, {"package.json": START, **files}).version.setup_command == setup


@pytest.mark.parametrize(
    ("lock", "setup"),
    [
        ("package-lock.json", "npm ci --include=dev"),
        ("pnpm-lock.yaml", "pnpm install --frozen-lockfile --prod=false"),
        ("yarn.lock", "yarn install --frozen-lockfile --production=false"),
    ],
)
def test_packages_of_the_build_are_installed_whatever_node_env_says(tmp_path: Path, lock: str, setup: str) -> None:
    assert proposed(tmp_path, {"package.json": BUILT, lock: ""}).version.setup_command == setup


@pytest.mark.parametrize(
    ("lock", "named", "call"),
    [
        ("lockfileVersion: '9.0'", None, "corepack pnpm@9.15.9"),
        ("lockfileVersion: '6.0'", None, "corepack pnpm@8.15.9"),
        ("lockfileVersion: 5.4", None, "corepack pnpm@7.33.7"),
        ("lockfileVersion: '9.0'", "pnpm@9.1.0+sha512.abc", "corepack pnpm@9.1.0"),
    ],
)
def test_corepack_gets_one_version_where_pnpm_is_missing(
    tmp_path: Path, lock: str, named: str | None, call: str
) -> None:
    files: Files = {"package.json": START | {"packageManager": named}, "pnpm-lock.yaml": lock}
    machine = {"node": "20.0.0", "corepack": "0.34.0"}

    found = proposed(tmp_path, files, programs=machine)

    assert found.version.setup_command == f"{call} install --frozen-lockfile"
    assert found.version.start_command == "node a.js"
    assert not [line for line in found.look if "corepack" in line]


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ({"node": "20", "corepack": "0.24.0"}, "'Cannot find matching keyid'"),
        ({"node": "20"}, "nor is corepack"),
    ],
)
def test_corepack_that_can_not_help(tmp_path: Path, machine: dict[str, str], said: str) -> None:
    found = proposed(tmp_path, {"package.json": START, "pnpm-lock.yaml": ""}, programs=machine)

    assert [line for line in found.look if said in line]


def test_package_manager_decides_between_locks(tmp_path: Path) -> None:
    files: Files = {
        "package.json": START | {"packageManager": "pnpm@9.1.0"},
        "package-lock.json": "{}",
        "pnpm-lock.yaml": "",
    }

    found = proposed(tmp_path, files)

    assert found.version.setup_command == "pnpm install --frozen-lockfile"
    assert "pnpm-lock.yaml, package-lock.json are there: packageManager in package.json says pnpm" in found.look


def test_own_lock_comes_before_that_of_a_parent(tmp_path: Path) -> None:
    files: Files = {"package-lock.json": "{}", "web/package.json": START, "web/yarn.lock": "# yarn lockfile v1"}

    assert proposed(tmp_path, files, "web").version.setup_command == "yarn install --frozen-lockfile"


def test_lock_of_a_workspace(tmp_path: Path) -> None:
    files: Files = {
        "pnpm-lock.yaml": "lockfileVersion: '9.0'",
        "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n",
        "apps/web/package.json": package({"start": "next start", "build": "next build"}, ["next"]),
        "apps/web/app/page.js": "",
    }

    found = proposed(tmp_path, files, "apps/web")

    assert found.version.root == "apps/web"
    assert found.version.setup_command == "cd ../.. && pnpm install --frozen-lockfile --prod=false"
    assert found.version.start_command == "node_modules/.bin/next start -p $PORT"


@pytest.mark.parametrize(
    ("files", "setup"),
    [
        ({"uv.lock": "", "requirements.txt": ""}, "uv sync --frozen"),
        ({"pdm.lock": ""}, "PDM_IGNORE_ACTIVE_VENV=1 pdm sync --prod"),
        ({"Pipfile.lock": "{}"}, "PIPENV_VENV_IN_PROJECT=1 PIPENV_IGNORE_VIRTUALENVS=1 pipenv sync"),
        ({"requirements/production.txt": ""}, f"{PIP} -r requirements/production.txt"),
        ({"pyproject.toml": "[tool.ruff]\n", "requirements.txt": ""}, f"{PIP} -r requirements.txt"),
        ({"pyproject.toml": "[project]\nname='x'\n[build-system]\nrequires=[]"}, f"{PIP} -e ."),
        ({"setup.py": ""}, f"{PIP} -e ."),
        ({"uv.lock": "", "poetry.lock": ""}, ""),
        ({"pyproject.toml": "[tool.ruff]\n"}, ""),
    ],
)
def test_setup_of_a_python_project(tmp_path: Path, files: Files, setup: str) -> None:
    assert proposed(tmp_path, files).version.setup_command == setup


def test_member_of_a_uv_workspace(tmp_path: Path) -> None:
    files: Files = {
        "uv.lock": "",
        "services/api/pyproject.toml": "[project]\nname='api'\ndependencies=['fastapi', 'uvicorn']",
        "services/api/main.py": "app = FastAPI()",
    }

    found = proposed(tmp_path, files, "services/api").version

    assert found.setup_command == "uv sync --frozen --package=api"
    assert found.start_command.startswith("../../.venv/bin/uvicorn main:app")


@pytest.mark.parametrize("locks", [("yarn.lock", "package-lock.json"), ("uv.lock", "poetry.lock")])
def test_several_locks_are_said(tmp_path: Path, locks: tuple[str, str]) -> None:
    found = proposed(tmp_path, {"package.json": START, **dict.fromkeys(locks, "")})

    assert [
        line for line in found.look if line.startswith(f"fill in setup_command: {locks[0]} and {locks[1]} are both")
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"package.json": START | {"engines": {"node": ">=22"}}}, "package.json asks for node >=22"),
        ({"package.json": START, ".nvmrc": "v22\n"}, ".nvmrc asks for node v22"),
        ({"requirements.txt": "", ".python-version": "3.13\n"}, ".python-version asks for python3 3.13"),
        ({"Gemfile": "ruby '3.3.0'"}, "Gemfile asks for ruby 3.3.0"),
        ({"go.mod": "module x\n\ngo 1.99\n"}, "go.mod asks for go >=1.99"),
    ],
)
def test_versions_that_this_machine_lacks(tmp_path: Path, files: Files, said: str) -> None:
    assert [line for line in proposed(tmp_path, files).look if line.startswith(said)]


def test_python_that_uv_downloads_is_named(tmp_path: Path) -> None:
    files: Files = {"uv.lock": "", "pyproject.toml": "[project]\nname='x'\nrequires-python='>=3.99'"}

    said = "pyproject.toml asks for python3 >=3.99, and this machine has 3.11.9: uv downloads it in the setup"
    assert said in proposed(tmp_path, files).look


def test_programs_that_this_machine_lacks(tmp_path: Path) -> None:
    files: Files = {"uv.lock": "", "Gemfile.lock": "", "package.json": START, "bun.lock": ""}
    machine = {name: version for name, version in EVERYTHING.items() if name not in ("uv", "bundle", "bun")}

    said = " ".join(proposed(tmp_path, files, programs=machine).look)

    assert all(f"{name} is not installed on this machine" in said for name in ("uv", "bundle", "bun"))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_manifest_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unreadable, match=r"package\.json is not"):
        proposed(tmp_path, {"package.json": text})


@pytest.mark.parametrize(
    ("files", "python"),
    [
        ({"requirements.txt": "Django[argon2]==6.1\n"}, "python3.13"),
        ({"requirements.txt": "Django==2.2.5\n"}, "python3.9"),
        ({"requirements.txt": "Django>=5\n"}, "python3"),
        ({"requirements.txt": "", ".python-version": "# for all\n3.13\n"}, "python3.13"),
        ({"requirements.txt": "", ".python-version": "3.14\n"}, "python3"),
        ({"requirements.txt": "", "runtime.txt": "python-3.9.18"}, "python3.9"),
    ],
)
def test_python_that_is_asked_for_if_this_machine_has_it(tmp_path: Path, files: Files, python: str) -> None:
    machine = EVERYTHING | {"python3.13": "Python 3.13.0", "python3.12": "", "python3.9": "Python 3.9.18"}

    setup = proposed(tmp_path, files, programs=machine).version.setup_command

    assert setup == f"{python} -m venv .venv && .venv/bin/pip install -r requirements.txt"


@pytest.mark.parametrize(
    ("requirements", "said"),
    [
        ("flask==3.1.0\ngunicorn[x]==23.0 ; python_version > '3'\n-r other.txt\n# x\n", ""),
        ("flask\nredis>=5\n", "flask, redis"),
        ("a\nb\nc\nd\ne\nf\n", "a, b, c, d, e and others"),
    ],
)
def test_requirements_that_are_not_pinned(tmp_path: Path, requirements: str, said: str) -> None:
    look = proposed(tmp_path, {"requirements.txt": requirements}).look

    expected = [f"requirements.txt fixes no version of {said}: two deploys may install other ones"] if said else []
    assert [line for line in look if "fixes no version" in line] == expected


@pytest.mark.parametrize(
    ("files", "root"),
    [
        ({"package.json": BUILT, "pnpm-lock.yaml": "", "requirements.txt": ""}, ""),
        ({"package.json": BUILT, "yarn.lock": ""}, ""),
        (
            {
                "package.json": {"workspaces": ["web"]},
                "package-lock.json": "{}",
                "web/package.json": BUILT,
                "web/requirements.txt": "",
            },
            "web",
        ),
        ({"uv.lock": "", "api/pyproject.toml": "[project]\nname='api'\n", "api/app.py": "app = Flask()"}, "api"),
        ({"poetry.lock": "", "composer.json": {}, "Gemfile.lock": ""}, ""),
        ({"pdm.lock": ""}, ""),
        ({"Pipfile.lock": "{}"}, ""),
    ],
)
def test_setup_can_be_skipped_by_what_it_depends_on(tmp_path: Path, files: Files, root: str) -> None:
    setup = proposed(tmp_path, files, root, {"corepack": "0.34"}).version.setup_command or ""

    parsed = parse(setup, root)

    assert parsed.installs
    assert not parsed.unknown


def test_lock_of_a_workspace_comes_before_a_manifest_of_its_own(tmp_path: Path) -> None:
    files: Files = {"uv.lock": "", "a/b/c/pyproject.toml": "[project]\nname='api'\n", "a/b/c/setup.py": ""}

    assert proposed(tmp_path, files, "a/b/c").version.setup_command == "uv sync --frozen --package=api"


def test_lock_above_a_folder_that_is_in_no_workspace_of_it(tmp_path: Path) -> None:
    files: Files = {"package-lock.json": "{}", "package.json": {"workspaces": ["apps/*"]}, "docs/package.json": START}

    assert proposed(tmp_path, files, "docs").version.setup_command == "npm install"
