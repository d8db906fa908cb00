"""What each setup depends on, and where its lock file is not the whole truth."""

import json
from collections.abc import Mapping, Sequence

import pytest

from slot_machine.core.setup.files import Files
from slot_machine.core.setup.inputs import Inputs, inputs_of

PIP = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"


def found(
    command: str, contents: Mapping[str, str], root: str = "", given: Sequence[str] | None = None, *links: str
) -> Inputs:
    digests = {name: f"digest of {text}" for name, text in contents.items()}
    return inputs_of(command, root, given, Files(digests, contents.__getitem__, frozenset(links)))


def package(**fields: object) -> str:
    return json.dumps({"name": "app", **fields})


def node(manifest: str | None = None, lock: str = "{}", **others: str) -> dict[str, str]:
    return {"package.json": manifest or package(), "package-lock.json": lock, "server.js": "code", **others}


def pnpm(workspaces: str, **others: str) -> dict[str, str]:
    locks = {"pnpm-lock.yaml": "", "web/pnpm-lock.yaml": ""}
    return {"package.json": package(), "pnpm-workspace.yaml": workspaces, **locks, **others}


def test_lock_file_is_the_whole_truth_of_a_plain_app() -> None:
    inputs = found("npm ci", node(package(scripts={"start": "node server.js", "prepare": "husky"})))

    assert inputs.doubt == ""
    assert sorted(inputs.digests) == ["package-lock.json", "package.json"]
    assert inputs.main == ("package-lock.json",)
    assert inputs.installed == ("node_modules",)
    assert inputs.programs == ("npm", "node")
    assert inputs.seeds == (), "npm ci removes what is there"


def test_programs_outside_of_the_tree_count_with_the_runtime_beside_them() -> None:
    assert found("/opt/node/bin/npm ci", node()).programs == ("/opt/node/bin/npm", "/opt/node/bin/node")
    python = "/opt/python/bin/python3 -m venv .venv && .venv/bin/pip install flask"
    assert found(python, {}).programs == ("/opt/python/bin/python3",)


def test_settings_and_patches_count_also_those_of_parent_folders() -> None:
    contents = {
        f"apps/web/{name}": text for name, text in node(package(patchedDependencies={"a": "fix/a.patch"})).items()
    }
    others = {
        ".npmrc": "engine-strict=true",
        ".nvmrc": "20",
        "apps/web/patches/a.patch": "1",
        "apps/web/fix/a.patch": "2",
        "README.md": "",
    }
    inputs = found("npm install", contents | others, "apps/web")

    assert inputs.doubt == ""
    assert set(inputs.digests) - {"apps/web/package.json", "apps/web/package-lock.json"} == {
        ".npmrc",
        ".nvmrc",
        "apps/web/patches/",
        "apps/web/fix/a.patch",
    }
    assert inputs.seeds == ("apps/web/node_modules",)
    changed = found("npm install", contents | others | {"apps/web/patches/b.patch": "3"}, "apps/web")
    assert changed.digests["apps/web/patches/"] != inputs.digests["apps/web/patches/"]


def test_folder_that_the_commit_tracks_is_not_filled_from_elsewhere() -> None:
    assert found("npm install", node() | {"node_modules/a/index.js": ""}).seeds == ()


DOUBTS = {
    "postinstall script": ("npm ci", node(package(scripts={"postinstall": "prisma generate"})), "postinstall script"),
    "prepare script": ("npm ci", node(package(scripts={"prepare": "npm run build"})), "prepare script"),
    "local": ("npm ci", node(package(dependencies={"lib": "file:../lib"})), "local package lib"),
    "path": ("npm ci", node(package(dependencies={"lib": "../lib"})), "local package lib"),
    "workspaces": ("npm ci", node(package(workspaces=["packages/*"])), "has workspaces"),
    "lock of workspaces": ("npm ci", node(lock='{"node_modules/lib": {"link": true}}'), "has local packages"),
    "lock above": (
        "cd web && npm ci",
        {"package-lock.json": "{}", "web/package.json": package()},
        "package-lock.json is for workspaces",
    ),
    "no lock": ("npm install", {"package.json": package()}, "there is no lock file"),
    "no JSON": ("npm ci", node("{"), "can't be read"),
    "JSON that is nested too deeply": ("npm ci", node("[" * 100_000), "can't be read"),
    "manifest of Composer that is nested too deeply": (
        "composer install",
        {"composer.json": "[" * 100_000, "composer.lock": "{}"},
        "has scripts or an autoloader",
    ),
    "native": ("npm ci", node() | {"binding.gyp": ""}, "binding.gyp"),
    "patch elsewhere": ("npm ci", node(package(patchedDependencies={"a": "../a.patch"})), "../a.patch"),
    "pnpm patch": ("npm ci", node(package(pnpm={"patchedDependencies": {"a": "b.patch"}})), "b.patch"),
    "yarn patch": ("npm ci", node(package(resolutions={"a": "patch:a@npm%3A1.0.0#~/b.patch"})), "b.patch"),
    "pnpm workspaces": ("pnpm i", pnpm("packages:\n  - packages/*\n"), "pnpm-workspace.yaml has packages"),
    "pnpm workspaces above": ("cd web && pnpm i", pnpm("packages: [web]"), "pnpm-workspace.yaml has packages"),
    "patch of pnpm workspaces": ("pnpm i", pnpm("patchedDependencies:\n  a@1: b.patch\n"), "b.patch"),
    "build": ("npm ci && npm run build", node(), "`npm run build` may depend on any file"),
    "unknown": ("sh setup.sh", node(), "`sh setup.sh` may depend on any file"),
    "nothing": ("true", node(), "it is not known"),
    "editable": (PIP, {"requirements.txt": "-e ."}, "editable package ."),
    "editable elsewhere": (PIP, {"requirements.txt": "--editable=../lib"}, "editable package ../lib"),
    "local folder": (PIP, {"requirements.txt": "./lib[extra]"}, "local package ./lib[extra]"),
    "wheel": (PIP, {"requirements.txt": "lib @ file:///srv/lib.whl"}, "local package"),
    "branch": (PIP, {"requirements.txt": "git+https://example.org/lib@main"}, "no fixed commit"),
    "missing": (PIP, {"requirements.txt": "-r base.txt"}, "names base.txt, which is not in the commit"),
    "remote": (PIP, {"requirements.txt": "-c https://example.org/c.txt"}, "is not in the commit"),
    "folder of wheels": (PIP, {"requirements.txt": "--find-links wheels\nlib"}, "folder wheels"),
    "newest": (f"{PIP} -U", {"requirements.txt": "flask"}, "asks for the newest"),
    "newest of one word": (PIP.replace("-r", "-Ur"), {"requirements.txt": "flask"}, "asks for the newest"),
    "folder without a dot": (PIP, {"requirements.txt": "libs/lib[extra]; python_version > '3'"}, "libs/lib[extra]"),
    "archive": (PIP, {"requirements.txt": "lib-1.0.tgz"}, "local package lib-1.0.tgz"),
    "local repository": (PIP, {"requirements.txt": "git+file:///srv/lib@v1"}, "no fixed commit"),
    "abbreviated": (PIP.replace("-r requirements.txt", "--edit=lib"), {}, "editable package lib"),
    "one word": (PIP.replace("-r requirements.txt", "-qe lib"), {}, "editable package lib"),
    "outside": ("pip install -r requirements.txt", {"requirements.txt": "flask"}, "pip may install outside"),
    "the app itself": ("python3 -m venv .venv && .venv/bin/pip install .", {"pyproject.toml": ""}, "local package ."),
    "uv editable": ("uv sync", {"uv.lock": 'source = { editable = "." }', "pyproject.toml": ""}, "editable"),
    "poetry root": ("poetry install", {"poetry.lock": "", "pyproject.toml": ""}, "the project itself"),
    "pipenv path": ("pipenv sync", {"Pipfile.lock": '"path": "./lib"', "Pipfile": ""}, "local or editable"),
    "gem path": ("bundle install", {"Gemfile.lock": "PATH\n  remote: lib\n", "Gemfile": ""}, "local gems"),
    "gemspec": ("bundle install", {"Gemfile.lock": "", "Gemfile": "gemspec"}, "reads other files"),
    "loaded": ("bundle install", {"Gemfile.lock": "", "Gemfile": "load 'more.rb'"}, "reads other files"),
    "read": ("bundle install", {"Gemfile.lock": "", "Gemfile": "eval(IO.read('more.rb'))"}, "reads other files"),
    "variable": ("bundle install", {"Gemfile.lock": "", "Gemfile": "gem 'a' if ENV['FULL']"}, "or variables"),
    "composer": ("composer install", {"composer.lock": "", "composer.json": '{"scripts": {}}'}, "scripts"),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_setup_runs_where_the_lock_is_not_the_whole_truth(case: str) -> None:
    command, contents, doubt = DOUBTS[case]

    assert doubt in found(command, contents).doubt


CERTAIN: dict[str, tuple[str, dict[str, str], set[str]]] = {
    "followed": (
        PIP,
        {
            "requirements.txt": "-r requirements/base.txt\n-c constraints.txt  # limits\n",
            "requirements/base.txt": "flask[async]==3.0 ; python_version > '3.8'\n-rmore.txt\n",
            "requirements/more.txt": f"lib @ git+https://example.org/lib@{'a' * 40}\ngunicorn --hash=sha256:0\n",
            "constraints.txt": "jinja2<4",
            "unrelated.txt": "",
            ".python-version": "3.11",
        },
        {
            ".python-version",
            "constraints.txt",
            "requirements.txt",
            "requirements/base.txt",
            "requirements/more.txt",
        },
    ),
    "uv": (
        "uv sync --frozen",
        {"uv.lock": 'source = { virtual = "." }', "pyproject.toml": "[project]"},
        {"uv.lock", "pyproject.toml"},
    ),
    "poetry": (
        "poetry install --no-root",
        {"poetry.lock": "", "pyproject.toml": ""},
        {"poetry.lock", "pyproject.toml"},
    ),
    "pipenv": ("pipenv sync", {"Pipfile.lock": "{}", "Pipfile": ""}, {"Pipfile.lock", "Pipfile"}),
    "pip itself": (
        ".venv/bin/pip install --upgrade pip && .venv/bin/pip install -r requirements.txt",
        {"requirements.txt": "flask"},
        {"requirements.txt"},
    ),
    "yarn patch": (
        "yarn",
        {"package.json": package(dependencies={"a": "patch:a@1#./fix/b.patch"}), "yarn.lock": "", "fix/b.patch": ""},
        {"package.json", "yarn.lock", "fix/b.patch"},
    ),
    "patch of pnpm": (
        "pnpm install",
        {
            "package.json": package(),
            "pnpm-lock.yaml": "",
            "pnpm-workspace.yaml": "onlyBuiltDependencies: [sharp]\npatchedDependencies:\n  'a@1': 'fix/b.patch'\n",
            "fix/b.patch": "",
        },
        {"package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "fix/b.patch"},
    ),
    "one word": (PIP.replace("-r", "-qr"), {"requirements.txt": "flask"}, {"requirements.txt"}),
    "abbreviated": (PIP.replace("-r ", "--req="), {"requirements.txt": "flask"}, {"requirements.txt"}),
    "other options": (
        PIP.replace("-r", "--log /tmp/pip.log -i https://example.org/simple -r"),
        {"requirements.txt": "lib @ https://example.org/lib.zip\n--index-url https://example.org/simple"},
        {"requirements.txt"},
    ),
    "uv pip": (
        "uv venv && uv pip sync -q --python .venv/bin/python requirements.txt -b limits.txt --overrides=others.txt",
        {"requirements.txt": "flask", "limits.txt": "setuptools<70", "others.txt": "jinja2<4"},
        {"requirements.txt", "limits.txt", "others.txt"},
    ),
    "groups": (
        ".venv/bin/pip install --group prod --group web/pyproject.toml:prod",
        {"pyproject.toml": 'readme = "docs/README.md"', "web/pyproject.toml": ""},
        {"pyproject.toml", "web/pyproject.toml"},
    ),
    "bundler": (
        "bundle install",
        {"Gemfile.lock": "GEM", "Gemfile": 'gem "rack", require: "rack" # load\n# eval ENV', ".ruby-version": "3.3"},
        {"Gemfile.lock", "Gemfile", ".ruby-version"},
    ),
    "composer": (
        "composer install --no-dev",
        {"composer.lock": "{}", "composer.json": "{}"},
        {"composer.lock", "composer.json"},
    ),
    "no scripts": (
        "npm ci --ignore-scripts",
        node(package(scripts={"postinstall": "x"})),
        {"package.json", "package-lock.json"},
    ),
    "yarn": (
        "yarn install --immutable",
        {"package.json": package(), "yarn.lock": 'resolution: "app@workspace:."'},
        {"package.json", "yarn.lock"},
    ),
}


@pytest.mark.parametrize("case", CERTAIN)
def test_setup_depends_on_these_files_alone(case: str) -> None:
    command, contents, names = CERTAIN[case]
    inputs = found(command, contents)

    assert inputs.doubt == ""
    assert set(inputs.digests) == names


def test_virtual_environment_is_what_it_installs_into_and_never_filled_from_elsewhere() -> None:
    inputs = found(PIP, {"requirements.txt": "flask"})

    assert (inputs.installed, inputs.seeds) == ((".venv",), ())
    assert inputs.programs == ("python3",)


def test_symlink_is_a_doubt() -> None:
    assert "is a symlink" in found("npm ci", node(), "", None, "package.json").doubt


def test_given_inputs_replace_the_known_ones() -> None:
    contents = node(package(scripts={"postinstall": "x"})) | {"app/schema.prisma": "1", "app/db/a.sql": "2"}

    inputs = found("make deps", contents, "app", ["schema.prisma", "db"])
    assert (set(inputs.digests), inputs.doubt) == ({"app/schema.prisma", "app/db/a.sql"}, "")
    assert inputs.programs == ("make",)
    assert set(found("npm ci", contents, "", ["app/**", "*.json"]).digests) == {
        "app/schema.prisma",
        "app/db/a.sql",
        "package.json",
        "package-lock.json",
    }
    assert found("npm ci", contents, "app", ["."]).digests.keys() == {"app/schema.prisma", "app/db/a.sql"}
    assert found("npm ci", contents, "", []).doubt == ""


def test_given_input_that_no_file_matches_is_named() -> None:
    inputs = found("npm ci", node(), "", ["package-lok.json"])

    assert inputs.doubt == "setup_inputs names package-lok.json, which no file matches"


def test_failure_that_is_passed_over_counts_with_given_inputs_too() -> None:
    assert found("npm ci || true", node(), given=["package-lock.json"]).unchecked == "npm ci"
