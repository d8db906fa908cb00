"""What is left of the shell that the daemon was started from."""

import pytest

from slot_machine.core.tool_variables import without_tools

PLAIN = {"PATH": "/usr/local/bin:/usr/bin", "HOME": "/home/me", "NODE_ENV": "production", "PYTHONUNBUFFERED": "1"}


def test_environment_without_tools_stays_as_it_is() -> None:
    env = PLAIN | {"NODE": "/opt/node", "COLOR": "blue", "PATH": "/opt/app/node_modules/.bin:/usr/bin:"}

    assert without_tools(env) == env


@pytest.mark.parametrize(
    "added",
    [
        {"VIRTUAL_ENV": "/venv", "VIRTUAL_ENV_PROMPT": "venv", "PATH": f"/venv/bin:{PLAIN['PATH']}"},
        {"VIRTUAL_ENV": "/venv/", "PATH": f"{PLAIN['PATH']}:/venv/./bin"},
        {"VIRTUAL_ENV": ""},
        {"PYTHONHOME": "/opt/python", "CONDA_PREFIX": "/opt/conda", "POETRY_ACTIVE": "1"},
        {
            "npm_config_prefix": "/usr",
            "npm_lifecycle_event": "start",
            "INIT_CWD": "/repo",
            "NODE": "/usr/bin/node",
            "COLOR": "0",
            "PATH": "/repo/node_modules/.bin:/node_modules/.bin:/usr/lib/node_modules/npm/node_modules/@npmcli"
            f"/run-script/lib/node-gyp-bin:/tmp/yarn--1700000000000-0.5:{PLAIN['PATH']}",
        },
        {"BUNDLE_GEMFILE": "/repo/Gemfile", "BUNDLER_VERSION": "2.4.22", "BUNDLE_WITHOUT": "test"},
        {
            "RUBYOPT": "-r/usr/lib/ruby/3.1.0/bundler/setup",
            "BUNDLER_ORIG_RUBYOPT": "BUNDLER_ENVIRONMENT_PRESERVER_INTENTIONALLY_NIL",
            "PATH": f"/gems/bin:{PLAIN['PATH']}",
            "BUNDLER_ORIG_PATH": PLAIN["PATH"],
            "BUNDLER_ORIG_BUNDLE_GEMFILE": "/other/Gemfile",
        },
    ],
    ids=["venv", "venv by another path", "no venv", "python tools", "npm and yarn", "bundler", "bundle exec"],
)
def test_what_a_tool_added_is_taken_away(added: dict[str, str]) -> None:
    assert without_tools(PLAIN | added) == PLAIN


def test_value_from_before_bundler_comes_back() -> None:
    env = PLAIN | {"RUBYOPT": "-W0 -rbundler/setup", "BUNDLER_ORIG_RUBYOPT": "-W0"}

    assert without_tools(env) == PLAIN | {"RUBYOPT": "-W0"}
