import pytest

from slot_machine.core.setup.command import Install, parse

KNOWN = {
    "npm ci": [Install("npm", "npm", "", ("ci",))],
    "npm ci --omit=dev --include dev": [Install("npm", "npm", "", ("ci", "--omit=dev", "--include", "dev"))],
    "cd web && npm ci": [Install("npm", "npm", "web", ("ci",))],
    "npm --prefix web ci; bundle install": [
        Install("npm", "npm", "web", ("ci",)),
        Install("bundle", "bundle", "", ("install",)),
    ],
    "corepack pnpm@9.15.9 install --frozen-lockfile": [Install("pnpm", "pnpm", "", ("install", "--frozen-lockfile"))],
    "corepack enable\ncorepack pnpm install --frozen-lockfile": [
        Install("corepack", "corepack", "", ()),
        Install("pnpm", "pnpm", "", ("install", "--frozen-lockfile")),
    ],
    "set -e\n\ncd web &&\nnpm ci": [Install("npm", "npm", "web", ("ci",))],
    'echo "setup of $SLOT_MACHINE_COMMIT"; export CI=1; test -d node_modules || yarn': [
        Install("yarn", "yarn", "", ())
    ],
    "yarn": [Install("yarn", "yarn", "", ())],
    "NODE_ENV=production npm install": [Install("npm", "npm", "", ("install",))],
    "python3.11 -m venv .venv && .venv/bin/pip install -r requirements.txt": [
        Install("venv", "python3.11", "", (".venv",)),
        Install("pip", ".venv/bin/pip", "", ("install", "-r", "requirements.txt")),
    ],
    "test -d .venv || python3 -m venv .venv; .venv/bin/python -m pip install 'uvicorn[standard]>=0.2'": [
        Install("venv", "python3", "", (".venv",)),
        Install("pip", ".venv/bin/python", "", ("install", "uvicorn[standard]>=0.2")),
    ],
    "uv venv && uv pip sync requirements.txt": [
        Install("venv", "uv", "", (".venv",)),
        Install("uv pip", "uv", "", ("sync", "requirements.txt")),
    ],
    "uv sync --frozen --no-dev": [Install("uv", "uv", "", ("sync", "--frozen", "--no-dev"))],
    "bundle config set --local path vendor/bundle && bundle install": [
        Install("bundle", "bundle", "", ("config", "set", "--local", "path", "vendor/bundle")),
        Install("bundle", "bundle", "", ("install",)),
    ],
}


@pytest.mark.parametrize("command", KNOWN)
def test_installs_are_known(command: str) -> None:
    parsed = parse(command, "")

    assert (parsed.installs, parsed.unknown) == (tuple(KNOWN[command]), "")


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("npm ci && npm run build", "npm run build"),
        ("npm ci\nmake assets", "make assets"),
        ("npm install left-pad", "npm install left-pad"),
        ("npm install -g pnpm", "npm install -g pnpm"),
        ("pnpm install --filter web", "pnpm install --filter web"),
        ("npm ci | tee log", "npm ci | tee log"),
        ("npm ci > log", "npm ci > log"),
        ("echo $SLOT_MACHINE_COMMIT > REVISION && npm ci", "echo $SLOT_MACHINE_COMMIT > REVISION"),
        ("echo y | ./boot.sh && npm ci", "echo y | ./boot.sh"),
        ("echo `make` && npm ci", "echo `make`"),
        ("mkdir log & make && npm ci", "mkdir log & make"),
        ("export NODE_ENV=$MODE && npm ci", "export NODE_ENV=$MODE"),
        ("NODE_ENV=$MODE npm ci", "NODE_ENV=$MODE npm ci"),
        ("test -f full && npm ci || npm ci --omit=dev", "test -f full"),
        ("[ $MODE = full ] && npm ci", "[ $MODE = full ]"),
        ("npm ci --registry=http://localhost/#npm && make", "make"),
        ("BUNDLE_GEMFILE=old/Gemfile bundle install", "BUNDLE_GEMFILE=old/Gemfile bundle install"),
        ("export PIP_REQUIREMENT=more.txt; .venv/bin/pip install -r a.txt", "export PIP_REQUIREMENT=more.txt"),
        ("bundle install --gemfile=old/Gemfile", "bundle install --gemfile=old/Gemfile"),
        ("~/bin/npm ci", "~/bin/npm ci"),
        ("(npm ci)", "( npm ci )"),
        ("npm ci $FLAGS", "npm ci $FLAGS"),
        ("cd /srv && npm ci", "cd /srv"),
        ("cd ../other && npm ci", "cd ../other"),
        ("sh setup.sh", "sh setup.sh"),
        ("npm ci 'unclosed", "npm ci 'unclosed"),
        ("python3 setup.py install", "python3 setup.py install"),
        ("go build ./...", "go build ./..."),
        (". .venv/bin/activate && pip install -r requirements.txt", ". .venv/bin/activate"),
    ],
)
def test_anything_else_is_unknown(command: str, part: str) -> None:
    assert parse(command, "").unknown == part


def test_folder_of_the_app_is_where_it_begins() -> None:
    assert parse("npm ci && cd api && npm ci && cd .. && yarn", "apps/web").installs == (
        Install("npm", "npm", "apps/web", ("ci",)),
        Install("npm", "npm", "apps/web/api", ("ci",)),
        Install("yarn", "yarn", "apps/web", ()),
    )


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("npm ci || true", "npm ci"),
        ("npm ci && echo good || echo bad", "npm ci"),
        ("npm ci; bundle install", "npm ci"),
        ("npm ci\nbundle install", "npm ci"),
        ("./install.sh || : && npm ci", "./install.sh"),
        ("npm ci || npm install", ""),
        ("set -eu\nnpm ci\nbundle install", ""),
        ("npm ci;", ""),
        ("cd web; npm ci", ""),
        ("corepack enable; corepack pnpm install", ""),
        ("python3.11 -m venv .venv; .venv/bin/pip install flask", ""),
        ("uv venv .venv; uv pip install flask", ""),
    ],
)
def test_failure_that_the_shell_passes_over_is_found(command: str, part: str) -> None:
    assert parse(command, "").unchecked == part
