"""Variables by which a tool binds what it starts to one project: a virtual environment, `bundle exec`, `npm run`.

They tell of the shell that the daemon was started from, not of the app.
"""

import re
from collections.abc import Mapping
from os.path import normpath

OF_PYTHON = ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL")
OF_PYTHON_TOOLS = ("POETRY_ACTIVE", "PIPENV_ACTIVE", "PIPENV_PROJECT_DIR", "UV_RUN_RECURSION_DEPTH")
OF_NPM = ("INIT_CWD", "NODE", "COLOR", "PROJECT_CWD", "PNPM_SCRIPT_SRC_DIR")
"""Set beside the `npm_*` variables by npm, yarn and pnpm. Others use these names, too."""

DROPPED = re.compile(r"npm_.*|BUNDLE_.*|BUNDLER_.*|" + "|".join(OF_PYTHON + OF_PYTHON_TOOLS))

ORIGINAL = "BUNDLER_ORIG_"
"""Bundler keeps the value that a variable had before it under the variable's name with this prefix."""
UNSET = "BUNDLER_ENVIRONMENT_PRESERVER_INTENTIONALLY_NIL"
"""The value that Bundler keeps for a variable that was not set."""

BIN_OF_NPM = re.compile(r".*/node_modules/\.bin|.*/node-gyp-bin|.*/yarn--[^/]*")
"""Folders that npm and yarn put into PATH for a script."""


def without_tools(env: Mapping[str, str]) -> dict[str, str]:
    """What the environment was before the tools. PATH loses the folders that they put into it."""
    before = dict(env)
    for name, value in env.items():
        if name.startswith(ORIGINAL):
            before[name.removeprefix(ORIGINAL)] = value
    by_npm = any(name.startswith("npm_") for name in env)
    kept = {
        name: value
        for name, value in before.items()
        if value != UNSET and not DROPPED.fullmatch(name) and not (by_npm and name in OF_NPM)
    }
    if "PATH" in kept:
        venv_bin = normpath(f"{env['VIRTUAL_ENV']}/bin") if env.get("VIRTUAL_ENV") else ""
        folders = kept["PATH"].split(":")
        if venv_bin:
            folders = [folder for folder in folders if not folder or normpath(folder) != venv_bin]
        if by_npm:
            folders = [folder for folder in folders if not BIN_OF_NPM.fullmatch(folder)]
        kept["PATH"] = ":".join(folders)
    return kept
